/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_STORE_H
#define FG_STORE_H

/* One record that survives power loss at any instant: after it, the record is the old one or the
 * new one, whole. Two slots take turns; a slot counts from the moment its header, which is written
 * last, is intact. The slot whose turn it is can hold a journal meanwhile: what is not whole yet,
 * and must not be lost for that. SPEC.md, chapter "Device store", has every byte. */

#include <stdbool.h>
#include <stdint.h>

#include "fleetgrad/fg_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The largest unit that a flash may program at a time, in bytes. */
#define FG_STORE_UNIT_MAX 32U

#define FG_STORE_HEADER_BYTES 32U

/* A piece of flash. Addresses are offsets into it. Erased bytes read 0xFF. A unit is programmed at
 * most once between two erasures. Reading may fail where a write was interrupted, as it does on
 * chips whose flash corrects errors. The
 * functions are called flash_read, flash_program, flash_erase and flash_sync: the build finds them
 * by these names when it bounds the stack. */
typedef struct fg_flash {
    void *context; /* the port's own */
    uint32_t sector_bytes;
    uint32_t sectors; /* even, at least 2: half of them for each slot */
    uint32_t unit;    /* bytes that are programmed at a time: a power of two, 1 .. 32 */
    fg_status (*read)(void *context, uint32_t address, uint8_t *bytes, uint32_t count);
    /* Address and count are multiples of `unit`. */
    fg_status (*program)(void *context, uint32_t address, const uint8_t *bytes, uint32_t count);
    fg_status (*erase)(void *context, uint32_t sector);
    /* What was programmed and erased so far outlives a loss of power from now on. NULL: it does as
     * soon as program() and erase() return, as on every chip. */
    fg_status (*sync)(void *context);
} fg_flash;

/* What is kept. */
typedef struct fg_record {
    uint32_t sequence; /* counts records, wrapping */
    uint32_t erases;   /* of slots, the two counted together, as far as they remember */
    uint32_t tag;      /* the writer's own: what the bytes are */
    uint32_t bytes;
    uint32_t crc;
    bool present; /* there is one, and it is not spent */
} fg_record;

typedef struct fg_store {
    const fg_flash *flash;
    fg_record record;
    uint8_t slot; /* that holds, or last held, the record */
    /* While a record is written: */
    fg_record next;
    uint32_t written; /* bytes taken, those in `rest` included */
    uint8_t rest[FG_STORE_UNIT_MAX];
    bool writing;
} fg_store;

/* Bytes of the largest record that fits. */
uint32_t fg_store_capacity(const fg_flash *flash);

/* Finds the newest whole record; none is no error. FG_ERR_ARGUMENT: a flash that cannot be used. */
FG_MUST_CHECK fg_status fg_store_open(fg_store *store, const fg_flash *flash);

/* Reads part of the record. FG_ERR_STATE: there is none. FG_ERR_SIZE: beyond its end. */
FG_MUST_CHECK fg_status fg_store_read(const fg_store *store, uint32_t offset, uint8_t *bytes,
                                      uint32_t count);

/* Begins a record of `bytes` bytes; the present one stays until fg_store_commit(). A record that
 * was begun before and not committed is forgotten, and so is a journal. Sectors are erased one by
 * one as bytes reach them. FG_ERR_SIZE: too large. */
FG_MUST_CHECK fg_status fg_store_begin(fg_store *store, uint32_t tag, uint32_t bytes);

/* Takes the next bytes of the record, in any pieces. */
FG_MUST_CHECK fg_status fg_store_append(fg_store *store, const uint8_t *bytes, uint32_t count);

/* From now on the record is the new one. FG_ERR_STATE: bytes are missing, or none was begun.
 * FG_ERR_CRC: the flash does not hold what was written; the old record is still there. */
FG_MUST_CHECK fg_status fg_store_commit(fg_store *store);

/* The record is no longer wanted; without one, nothing happens. Costs no erasure. */
FG_MUST_CHECK fg_status fg_store_spend(fg_store *store);

/* --- The journal: pieces in order, each there or not, that a reset leaves where they are ---------
 */

#define FG_JOURNAL_DATA_BYTES 60U

typedef struct fg_journal {
    uint32_t place; /* of the next piece in the slot, in pieces */
    uint32_t chain; /* CRC-32 of all data so far: a piece is only valid behind the one before it */
} fg_journal;

/* Begins a journal, with nothing in it. FG_ERR_SIZE: the flash has no sectors of whole pieces. */
FG_MUST_CHECK fg_status fg_journal_begin(fg_journal *journal, fg_store *store);

/* Adds a piece. FG_ERR_SIZE: the slot is full; the pieces before stay. */
FG_MUST_CHECK fg_status fg_journal_append(fg_journal *journal, const fg_store *store,
                                          const uint8_t data[FG_JOURNAL_DATA_BYTES]);

/* Begins reading the journal that a reset has left. */
void fg_journal_open(fg_journal *journal, const fg_store *store);

/* The next piece; false after the last one, from where on pieces can be added again. */
FG_MUST_CHECK bool fg_journal_next(fg_journal *journal, const fg_store *store,
                                   uint8_t data[FG_JOURNAL_DATA_BYTES]);

#ifdef __cplusplus
}
#endif

#endif
