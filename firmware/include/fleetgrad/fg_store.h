/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_STORE_H
#define FG_STORE_H

/* One record that survives power loss at any instant: after it, the record is the old one or the
 * new one, whole. Two slots take turns; a slot counts from the moment its header, which is written
 * last, is intact. SPEC.md, chapter "Device store", has every byte. */

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
 * chips whose flash corrects errors. */
typedef struct fg_flash {
    void *context; /* the port's own */
    uint32_t sector_bytes;
    uint32_t sectors; /* even, at least 2: half of them for each slot */
    uint32_t unit;    /* bytes that are programmed at a time: a power of two, 1 .. 32 */
    fg_status (*read)(void *context, uint32_t address, uint8_t *bytes, uint32_t count);
    /* Address and count are multiples of `unit`. */
    fg_status (*program)(void *context, uint32_t address, const uint8_t *bytes, uint32_t count);
    fg_status (*erase)(void *context, uint32_t sector);
} fg_flash;

/* What is kept. */
typedef struct fg_record {
    uint32_t sequence; /* counts records, wrapping */
    uint32_t erases;   /* how often the more worn slot was erased, as far as the slots remember */
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
 * was begun before and not committed is forgotten. FG_ERR_SIZE: too large. */
FG_MUST_CHECK fg_status fg_store_begin(fg_store *store, uint32_t tag, uint32_t bytes);

/* Takes the next bytes of the record, in any pieces. */
FG_MUST_CHECK fg_status fg_store_append(fg_store *store, const uint8_t *bytes, uint32_t count);

/* From now on the record is the new one. FG_ERR_STATE: bytes are missing, or none was begun.
 * FG_ERR_CRC: the flash does not hold what was written; the old record is still there. */
FG_MUST_CHECK fg_status fg_store_commit(fg_store *store);

/* The record is no longer wanted; without one, nothing happens. Costs no erasure. */
FG_MUST_CHECK fg_status fg_store_spend(fg_store *store);

#ifdef __cplusplus
}
#endif

#endif
