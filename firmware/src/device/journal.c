/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fleetgrad/fg_bytes.h"
#include "fleetgrad/fg_store.h"
#include "fleetgrad/fg_wire.h"
#include "slots.h"

/* A piece: its data, and the CRC of all data up to its end. So a piece of an earlier journal, which
 * a sector that has not been reached yet still holds, cannot pass for one of this. */
#define PIECE_BYTES (FG_JOURNAL_DATA_BYTES + 4U)

_Static_assert(PIECE_BYTES % FG_STORE_UNIT_MAX == 0U, "a piece is whole units");

/* What the first CRC begins with. */
static uint32_t seed(const fg_store *store) {
    return store->record.sequence + 1U;
}

static uint32_t places(const fg_store *store) {
    return fg_slot_bytes(store->flash) / PIECE_BYTES;
}

static bool begins_sector(const fg_store *store, uint32_t place) {
    return place * PIECE_BYTES % store->flash->sector_bytes == 0U;
}

fg_status fg_journal_begin(fg_journal *journal, fg_store *store) {
    if (store->flash->sector_bytes % PIECE_BYTES != 0U) {
        return FG_ERR_SIZE;
    }
    store->writing = false;
    store->record.erases += 1U;
    *journal = (fg_journal){.place = 0U, .chain = seed(store)};
    return FG_OK;
}

fg_status fg_journal_append(fg_journal *journal, const fg_store *store,
                            const uint8_t data[FG_JOURNAL_DATA_BYTES]) {
    uint8_t piece[PIECE_BYTES];
    if (journal->place >= places(store)) {
        return FG_ERR_SIZE;
    }
    const uint32_t chain = fg_crc32(journal->chain, data, FG_JOURNAL_DATA_BYTES);
    memcpy(piece, data, FG_JOURNAL_DATA_BYTES);
    fg_store_u32(piece + FG_JOURNAL_DATA_BYTES, chain);
    const fg_status status =
        fg_slot_program(store, journal->place * PIECE_BYTES, piece, sizeof piece);
    if (status == FG_OK) {
        journal->place++;
        journal->chain = chain;
    }
    return status;
}

void fg_journal_open(fg_journal *journal, const fg_store *store) {
    *journal = (fg_journal){.place = 0U, .chain = seed(store)};
}

static bool load(const fg_store *store, uint32_t place, uint8_t piece[PIECE_BYTES]) {
    const fg_flash *flash = store->flash;
    const uint32_t address = fg_slot_free(store) + place * PIECE_BYTES;
    return fg_flash_read(flash, address, piece, PIECE_BYTES) == FG_OK;
}

static bool is_erased(const uint8_t piece[PIECE_BYTES]) {
    for (uint32_t i = 0U; i < PIECE_BYTES; i++) {
        if (piece[i] != FG_ERASED) {
            return false;
        }
    }
    return true;
}

static bool follows(const fg_journal *journal, const uint8_t piece[PIECE_BYTES]) {
    const uint32_t chain = fg_crc32(journal->chain, piece, FG_JOURNAL_DATA_BYTES);
    return fg_load_u32(piece + FG_JOURNAL_DATA_BYTES) == chain;
}

bool fg_journal_next(fg_journal *journal, const fg_store *store,
                     uint8_t data[FG_JOURNAL_DATA_BYTES]) {
    uint8_t piece[PIECE_BYTES];
    if (store->flash->sector_bytes % PIECE_BYTES != 0U) {
        return false;
    }
    /* A piece that a loss of power has torn is left behind: its units cannot be programmed again.
     * A sector is never erased twice for one journal, unless nothing is in it yet. */
    for (; journal->place < places(store); journal->place++) {
        const bool readable = load(store, journal->place, piece);
        if (readable && follows(journal, piece)) {
            memcpy(data, piece, FG_JOURNAL_DATA_BYTES);
            journal->place++;
            journal->chain = fg_load_u32(piece + FG_JOURNAL_DATA_BYTES);
            return true;
        }
        if (begins_sector(store, journal->place) || (readable && is_erased(piece))) {
            return false;
        }
    }
    return false;
}
