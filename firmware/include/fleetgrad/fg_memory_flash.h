/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_MEMORY_FLASH_H
#define FG_MEMORY_FLASH_H

/* Memory that behaves as flash: for ports whose RAM outlives what they call a reset. */

#include "fleetgrad/fg_store.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FG_MEMORY_FLASH_SECTOR_BYTES 1024U
#define FG_MEMORY_FLASH_UNIT         4U

typedef struct fg_memory_flash {
    fg_flash flash;
    uint8_t *cells;
} fg_memory_flash;

/* Takes whole pairs of sectors of `bytes` bytes; what they hold stays as it is. Memory of which
 * nothing is known is fine: the store finds no record in it. */
void fg_memory_flash_init(fg_memory_flash *memory, uint8_t *cells, uint32_t bytes);

#ifdef __cplusplus
}
#endif

#endif
