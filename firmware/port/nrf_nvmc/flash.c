/* SPDX-License-Identifier: Apache-2.0 */

/* Part of the chip's own flash, through its NVMC. The core stands still while a word is written
 * (about 40 us) or a page is erased (about 20 ms on nRF51, 85 ms on nRF52): bytes that the line
 * brings meanwhile are lost like any others, and repeated. */

#include <stddef.h>
#include <string.h>

#include "board.h"
#include "fleetgrad/fg_port.h"

#define NVMC       0x4001E000U
#define READY      (*(volatile uint32_t *)(NVMC + 0x400U))
#define CONFIG     (*(volatile uint32_t *)(NVMC + 0x504U))
#define ERASE_PAGE (*(volatile uint32_t *)(NVMC + 0x508U))

#define CONFIG_READ  0U
#define CONFIG_WRITE 1U
#define CONFIG_ERASE 2U

#define WORD 4U

/* Set by the linker script. The address of the size is the size. */
extern uint8_t fg_kept_start[];
extern const uint8_t fg_kept_bytes[];

static void wait(void) {
    while ((READY & 1U) == 0U) {
    }
}

static fg_status flash_read(void *context, uint32_t address, uint8_t *bytes, uint32_t count) {
    (void)context;
    memcpy(bytes, fg_kept_start + address, count);
    return FG_OK;
}

static fg_status flash_program(void *context, uint32_t address, const uint8_t *bytes,
                               uint32_t count) {
    (void)context;
    volatile uint32_t *words = (volatile uint32_t *)(void *)(fg_kept_start + address);
    CONFIG = CONFIG_WRITE;
    wait();
    for (uint32_t i = 0U; i < count / WORD; i++) {
        uint32_t word = 0U;
        memcpy(&word, bytes + (size_t)i * WORD, sizeof word);
        words[i] = word;
        wait();
    }
    CONFIG = CONFIG_READ;
    wait();
    return FG_OK;
}

static fg_status flash_erase(void *context, uint32_t sector) {
    (void)context;
    CONFIG = CONFIG_ERASE;
    wait();
    ERASE_PAGE = (uint32_t)(uintptr_t)fg_kept_start + sector * BOARD_FLASH_PAGE_BYTES;
    wait();
    CONFIG = CONFIG_READ;
    wait();
    return FG_OK;
}

const fg_flash *fg_port_flash(void) {
    /* One program runs on a board. */
    static fg_flash flash = {.sector_bytes = BOARD_FLASH_PAGE_BYTES,
                             .unit = WORD,
                             .read = flash_read,
                             .program = flash_program,
                             .erase = flash_erase};
    flash.sectors = (uint32_t)(uintptr_t)fg_kept_bytes / BOARD_FLASH_PAGE_BYTES;
    return &flash;
}
