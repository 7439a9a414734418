/* SPDX-License-Identifier: Apache-2.0 */
#include "fleetgrad/fg_store.h"

#include <string.h>

#include "fleetgrad/fg_bytes.h"
#include "fleetgrad/fg_wire.h"
#include "slots.h"

/* Header: magic, sequence, erases, tag, bytes, crc of the bytes, 0, crc of all before. Behind it,
 * in a unit of its own, the mark that spends it; then the bytes. */
#define MAGIC       0x54534746U /* "FGST" */
#define PIECE       64U
#define CRC_OFFSET  (FG_STORE_HEADER_BYTES - 4U)
#define MARK_OFFSET FG_STORE_HEADER_BYTES

_Static_assert(FG_STORE_HEADER_BYTES % FG_STORE_UNIT_MAX == 0U, "a header is whole units");

static uint32_t slot_address(const fg_flash *flash, uint32_t slot) {
    return slot * fg_slot_bytes(flash);
}

static uint32_t body_offset(const fg_flash *flash) {
    return MARK_OFFSET + flash->unit;
}

uint32_t fg_store_capacity(const fg_flash *flash) {
    const uint32_t slot = fg_slot_bytes(flash);
    return slot > body_offset(flash) ? slot - body_offset(flash) : 0U;
}

static bool is_usable(const fg_flash *flash) {
    const uint32_t unit = flash->unit;
    return unit > 0U && unit <= FG_STORE_UNIT_MAX && (unit & (unit - 1U)) == 0U &&
           flash->sectors >= FG_SLOTS && flash->sectors % FG_SLOTS == 0U &&
           flash->sector_bytes % unit == 0U && fg_store_capacity(flash) > 0U;
}

static fg_status crc_of(const fg_flash *flash, uint32_t address, uint32_t count, uint32_t *crc) {
    uint8_t bytes[PIECE];
    *crc = 0U;
    while (count > 0U) {
        const uint32_t piece = count < PIECE ? count : PIECE;
        const fg_status status = fg_flash_read(flash, address, bytes, piece);
        if (status != FG_OK) {
            return status;
        }
        *crc = fg_crc32(*crc, bytes, piece);
        address += piece;
        count -= piece;
    }
    return FG_OK;
}

/* Whether the mark is as erasure leaves it. One that cannot be read was being written. */
static bool is_unspent(const fg_flash *flash, uint32_t address) {
    uint8_t mark[FG_STORE_UNIT_MAX];
    if (fg_flash_read(flash, address, mark, flash->unit) != FG_OK) {
        return false;
    }
    for (uint32_t i = 0U; i < flash->unit; i++) {
        if (mark[i] != FG_ERASED) {
            return false;
        }
    }
    return true;
}

/* The record of a slot; false when there is no whole one. */
static bool inspect(const fg_flash *flash, uint32_t slot, fg_record *record) {
    uint8_t header[FG_STORE_HEADER_BYTES];
    const uint32_t address = slot_address(flash, slot);
    if (fg_flash_read(flash, address, header, sizeof header) != FG_OK ||
        fg_load_u32(header) != MAGIC ||
        fg_load_u32(header + CRC_OFFSET) != fg_crc32(0U, header, CRC_OFFSET)) {
        return false;
    }
    record->sequence = fg_load_u32(header + 4);
    record->erases = fg_load_u32(header + 8);
    record->tag = fg_load_u32(header + 12);
    record->bytes = fg_load_u32(header + 16);
    record->crc = fg_load_u32(header + 20);
    record->present = is_unspent(flash, address + MARK_OFFSET);
    uint32_t crc = 0U;
    return record->bytes <= fg_store_capacity(flash) &&
           crc_of(flash, address + body_offset(flash), record->bytes, &crc) == FG_OK &&
           crc == record->crc;
}

fg_status fg_store_open(fg_store *store, const fg_flash *flash) {
    if (!is_usable(flash)) {
        return FG_ERR_ARGUMENT;
    }
    *store = (fg_store){.flash = flash};
    bool found = false;
    uint32_t erases = 0U;
    for (uint32_t slot = 0U; slot < FG_SLOTS; slot++) {
        fg_record record;
        if (!inspect(flash, slot, &record)) {
            continue;
        }
        erases = record.erases > erases ? record.erases : erases;
        /* Sequences wrap: the newer one is less than half the circle ahead. */
        if (!found || record.sequence - store->record.sequence < UINT32_C(1) << 31) {
            store->record = record;
            store->slot = (uint8_t)slot;
        }
        found = true;
    }
    store->record.erases = erases;
    return FG_OK;
}

fg_status fg_store_read(const fg_store *store, uint32_t offset, uint8_t *bytes, uint32_t count) {
    if (!store->record.present) {
        return FG_ERR_STATE;
    }
    if (offset > store->record.bytes || count > store->record.bytes - offset) {
        return FG_ERR_SIZE;
    }
    const fg_flash *flash = store->flash;
    const uint32_t address = slot_address(flash, store->slot) + body_offset(flash) + offset;
    return fg_flash_read(flash, address, bytes, count);
}

static uint32_t other(const fg_store *store) {
    return store->slot ^ 1U;
}

uint32_t fg_slot_free(const fg_store *store) {
    return slot_address(store->flash, other(store));
}

fg_status fg_slot_program(const fg_store *store, uint32_t offset, const uint8_t *bytes,
                          uint32_t count) {
    const fg_flash *flash = store->flash;
    const uint32_t address = fg_slot_free(store) + offset;
    if (offset % flash->sector_bytes == 0U) {
        const fg_status status = fg_flash_erase(flash, address / flash->sector_bytes);
        if (status != FG_OK) {
            return status;
        }
    }
    return fg_flash_program(flash, address, bytes, count);
}

fg_status fg_store_begin(fg_store *store, uint32_t tag, uint32_t bytes) {
    const fg_flash *flash = store->flash;
    if (bytes > fg_store_capacity(flash)) {
        return FG_ERR_SIZE;
    }
    store->writing = false;
    store->record.erases += 1U;
    /* What header and mark need; the sector of the header first: an erasure that is cut short
     * leaves no header behind. */
    for (uint32_t at = 0U; at < body_offset(flash); at += flash->sector_bytes) {
        const uint32_t sector = (fg_slot_free(store) + at) / flash->sector_bytes;
        const fg_status status = fg_flash_erase(flash, sector);
        if (status != FG_OK) {
            return status;
        }
    }
    store->next = (fg_record){.sequence = store->record.sequence + 1U,
                              .erases = store->record.erases,
                              .tag = tag,
                              .bytes = bytes,
                              .present = true};
    store->written = 0U;
    store->writing = true;
    return FG_OK;
}

/* Programs the unit that `rest` has gathered. */
static fg_status flush(const fg_store *store, uint32_t end) {
    const fg_flash *flash = store->flash;
    const uint32_t start = (end - 1U) & ~(flash->unit - 1U);
    return fg_slot_program(store, body_offset(flash) + start, store->rest, flash->unit);
}

fg_status fg_store_append(fg_store *store, const uint8_t *bytes, uint32_t count) {
    if (!store->writing) {
        return FG_ERR_STATE;
    }
    if (count > store->next.bytes - store->written) {
        return FG_ERR_SIZE;
    }
    const uint32_t unit = store->flash->unit;
    store->next.crc = fg_crc32(store->next.crc, bytes, count);
    for (uint32_t i = 0U; i < count; i++) {
        store->rest[store->written & (unit - 1U)] = bytes[i];
        store->written += 1U;
        if ((store->written & (unit - 1U)) == 0U) {
            const fg_status status = flush(store, store->written);
            if (status != FG_OK) {
                store->writing = false;
                return status;
            }
        }
    }
    return FG_OK;
}

/* The last unit, filled up with what erasure leaves. */
static fg_status finish_body(fg_store *store) {
    const uint32_t used = store->written & (store->flash->unit - 1U);
    if (used == 0U) {
        return FG_OK;
    }
    memset(store->rest + used, FG_ERASED, store->flash->unit - used);
    return flush(store, store->written);
}

static fg_status write_header(const fg_store *store) {
    const fg_flash *flash = store->flash;
    uint8_t header[FG_STORE_HEADER_BYTES] = {0};
    fg_store_u32(header, MAGIC);
    fg_store_u32(header + 4, store->next.sequence);
    fg_store_u32(header + 8, store->next.erases);
    fg_store_u32(header + 12, store->next.tag);
    fg_store_u32(header + 16, store->next.bytes);
    fg_store_u32(header + 20, store->next.crc);
    fg_store_u32(header + CRC_OFFSET, fg_crc32(0U, header, CRC_OFFSET));
    return fg_flash_program(flash, fg_slot_free(store), header, sizeof header);
}

fg_status fg_store_commit(fg_store *store) {
    if (!store->writing || store->written != store->next.bytes) {
        return FG_ERR_STATE;
    }
    store->writing = false;
    const fg_flash *flash = store->flash;
    fg_status status = finish_body(store);
    if (status != FG_OK) {
        return status;
    }
    /* Before the header makes it count: does the flash hold what was meant? */
    uint32_t crc = 0U;
    status = crc_of(flash, fg_slot_free(store) + body_offset(flash), store->next.bytes, &crc);
    if (status == FG_OK && crc != store->next.crc) {
        status = FG_ERR_CRC;
    }
    /* Not before all of the record is there for good. */
    if (status == FG_OK) {
        status = fg_flash_sync(flash);
    }
    if (status == FG_OK) {
        status = write_header(store);
    }
    if (status == FG_OK) {
        status = fg_flash_sync(flash);
    }
    if (status != FG_OK) {
        return status;
    }
    fg_record made;
    if (!inspect(flash, other(store), &made)) {
        return FG_ERR_CRC;
    }
    store->slot = (uint8_t)other(store);
    store->record = made;
    return FG_OK;
}

fg_status fg_store_spend(fg_store *store) {
    static const uint8_t zeros[FG_STORE_UNIT_MAX] = {0};
    if (!store->record.present) {
        return FG_OK;
    }
    const fg_flash *flash = store->flash;
    const uint32_t address = slot_address(flash, store->slot) + MARK_OFFSET;
    store->record.present = false;
    return fg_flash_program(flash, address, zeros, flash->unit);
}
