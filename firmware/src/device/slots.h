/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_SLOTS_H
#define FG_SLOTS_H

/* What store and journal share: the way to the flash, and the slot that is not the record's. */

#include <stddef.h>

#include "fleetgrad/fg_store.h"

#define FG_SLOTS  2U
#define FG_ERASED 0xFFU

static inline uint32_t fg_slot_bytes(const fg_flash *flash) {
    return flash->sectors / FG_SLOTS * flash->sector_bytes;
}

fg_status fg_flash_read(const fg_flash *flash, uint32_t address, uint8_t *bytes,
                        uint32_t count) FG_MUST_CHECK;
fg_status fg_flash_program(const fg_flash *flash, uint32_t address, const uint8_t *bytes,
                           uint32_t count) FG_MUST_CHECK;
fg_status fg_flash_erase(const fg_flash *flash, uint32_t sector) FG_MUST_CHECK;
fg_status fg_flash_sync(const fg_flash *flash) FG_MUST_CHECK;

/* Where that slot begins. */
uint32_t fg_slot_free(const fg_store *store);

/* Programs bytes of that slot, in ascending order only: where they begin a sector, it is erased.
 * They must not reach from one sector into the next. */
fg_status fg_slot_program(const fg_store *store, uint32_t offset, const uint8_t *bytes,
                          uint32_t count) FG_MUST_CHECK;

#endif
