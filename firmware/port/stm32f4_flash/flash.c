/* SPDX-License-Identifier: Apache-2.0 */

/* Two of the small sectors of an STM32F4's own flash. The core stands still while a word is written
 * (about 16 us) or a sector is erased (about 250 ms): bytes that the line brings meanwhile are lost
 * like any others, and repeated. */

#include <stddef.h>
#include <string.h>

#include "board.h"
#include "fleetgrad/fg_port.h"

typedef struct stm32f4_flash {
    volatile uint32_t access; /* ACR */
    volatile uint32_t key;
    volatile uint32_t option_key;
    volatile uint32_t status;  /* 0x0C */
    volatile uint32_t control; /* 0x10 */
} stm32f4_flash;

_Static_assert(offsetof(stm32f4_flash, control) == 0x10U, "as in the reference manual");

#define FLASH ((stm32f4_flash *)0x40023C00U)

#define ACCESS_DATA_CACHE (1U << 10)
#define ACCESS_DATA_RESET (1U << 12)

#define KEY_1 0x45670123U
#define KEY_2 0xCDEF89ABU

/* In status; errors are cleared by writing 1. */
#define ERRORS 0xF2U
#define BUSY   (1U << 16)

/* In control. */
#define PROGRAM    (1U << 0)
#define ERASE      (1U << 1)
#define SECTOR(n)  ((n) << 3)
#define BY_32_BITS (2U << 8) /* at 2.7 V and more */
#define START      (1U << 16)
#define LOCK       (1U << 31)

#define WORD         4U
#define SECTOR_BYTES 0x4000U

/* Set by the linker script. The address of the size is the size. */
extern uint8_t fg_kept_start[];
extern const uint8_t fg_kept_bytes[];

static void open(uint32_t task) {
    FLASH->key = KEY_1;
    FLASH->key = KEY_2;
    FLASH->status = ERRORS;
    FLASH->control = task | BY_32_BITS;
}

/* Locks it again, and has the cache forget what was there before. */
static fg_status close(void) {
    const uint32_t errors = FLASH->status & ERRORS;
    FLASH->control = LOCK;
    FLASH->access &= ~ACCESS_DATA_CACHE;
    FLASH->access |= ACCESS_DATA_RESET;
    FLASH->access &= ~ACCESS_DATA_RESET;
    FLASH->access |= ACCESS_DATA_CACHE;
    return errors == 0U ? FG_OK : FG_ERR_STATE;
}

/* The chip ends every task, if not with success. */
static void wait(void) {
    while ((FLASH->status & BUSY) != 0U) {
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
    open(PROGRAM);
    for (uint32_t i = 0U; i < count / WORD; i++) {
        uint32_t word = 0U;
        memcpy(&word, bytes + (size_t)i * WORD, sizeof word);
        words[i] = word;
        wait();
    }
    return close();
}

static fg_status flash_erase(void *context, uint32_t sector) {
    (void)context;
    open(ERASE | SECTOR(BOARD_STORE_SECTOR + sector));
    FLASH->control |= START;
    wait();
    return close();
}

const fg_flash *fg_port_flash(void) {
    /* One program runs on a board. */
    static fg_flash flash = {.sector_bytes = SECTOR_BYTES,
                             .unit = WORD,
                             .read = flash_read,
                             .program = flash_program,
                             .erase = flash_erase};
    flash.sectors = (uint32_t)(uintptr_t)fg_kept_bytes / SECTOR_BYTES;
    return &flash;
}
