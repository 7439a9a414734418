/* SPDX-License-Identifier: Apache-2.0 */
#include "fleetgrad/fg_memory_flash.h"

#include <string.h>

#define ERASED 0xFF

static fg_status flash_read(void *context, uint32_t address, uint8_t *bytes, uint32_t count) {
    const fg_memory_flash *memory = context;
    memcpy(bytes, memory->cells + address, count);
    return FG_OK;
}

static fg_status flash_program(void *context, uint32_t address, const uint8_t *bytes,
                               uint32_t count) {
    const fg_memory_flash *memory = context;
    memcpy(memory->cells + address, bytes, count);
    return FG_OK;
}

static fg_status flash_erase(void *context, uint32_t sector) {
    const fg_memory_flash *memory = context;
    memset(memory->cells + (size_t)sector * FG_MEMORY_FLASH_SECTOR_BYTES, ERASED,
           FG_MEMORY_FLASH_SECTOR_BYTES);
    return FG_OK;
}

void fg_memory_flash_init(fg_memory_flash *memory, uint8_t *cells, uint32_t bytes) {
    const uint32_t pairs = bytes / (2U * FG_MEMORY_FLASH_SECTOR_BYTES);
    memory->cells = cells;
    memory->flash = (fg_flash){.context = memory,
                               .sector_bytes = FG_MEMORY_FLASH_SECTOR_BYTES,
                               .sectors = 2U * pairs,
                               .unit = FG_MEMORY_FLASH_UNIT,
                               .read = flash_read,
                               .program = flash_program,
                               .erase = flash_erase};
}
