/* SPDX-License-Identifier: Apache-2.0 */

/* Clocks, resets and pins of Raspberry Pi's RP2040: 125 MHz from the board's crystal of 12 MHz, and
 * ticks of a microsecond. */

#include <stddef.h>

#include "await.h"
#include "board.h"
#include "chip.h"

typedef struct rp2040_clock {
    volatile uint32_t control;
    volatile uint32_t divider;
    volatile uint32_t selected;
} rp2040_clock;

typedef struct rp2040_pll {
    volatile uint32_t status; /* and the crystal's divider */
    volatile uint32_t power;
    volatile uint32_t feedback;
    volatile uint32_t dividers;
} rp2040_pll;

typedef struct rp2040_crystal {
    volatile uint32_t control;
    volatile uint32_t status;
    volatile uint32_t dormant;
    volatile uint32_t startup;
} rp2040_crystal;

_Static_assert(offsetof(rp2040_crystal, startup) == 0x0CU, "as in the data sheet");

#define RESETS_SET        (*(volatile uint32_t *)0x4000E000U)
#define RESETS_CLEAR      (*(volatile uint32_t *)0x4000F000U)
#define RESETS_DONE       (*(volatile uint32_t *)0x4000C008U)
#define REFERENCE         ((rp2040_clock *)0x40008030U)
#define SYSTEM            ((rp2040_clock *)0x4000803CU)
#define PERIPHERALS       ((rp2040_clock *)0x40008048U)
#define CRYSTAL           ((rp2040_crystal *)0x40024000U)
#define PLL               ((rp2040_pll *)0x40028000U)
#define WATCHDOG_TICK     (*(volatile uint32_t *)0x4005802CU)
#define PIN_FUNCTION(pin) (*(volatile uint32_t *)(0x40014004U + 8U * (pin)))

/* In RESETS: pins and their pads, the PLL, the timer, UART0. */
#define RESET_PLL  (1U << 12)
#define RESET_REST ((1U << 5) | (1U << 8) | (1U << 21) | (1U << 22))

#define CRYSTAL_ON     (0xFABU << 12)
#define CRYSTAL_MHZ    0xAA0U /* 1 to 15 */
#define CRYSTAL_STABLE (1U << 31)
#define CRYSTAL_DELAY  47U /* times 256 cycles: a millisecond */

#define REFERENCE_RING    0U
#define REFERENCE_CRYSTAL 2U
#define SYSTEM_REFERENCE  0U
#define SYSTEM_PLL        1U
#define PERIPHERALS_ON    (1U << 11) /* from the system clock */

/* 12 MHz * 125 = 1500 MHz; / 6 / 2 = 125 MHz. */
#define PLL_FEEDBACK   125U
#define PLL_DIVIDERS   ((6U << 16) | (2U << 12))
#define PLL_LOCKED     (1U << 31)
#define PLL_OUTPUT_OFF (1U << 3)

#define TICK_ON       (1U << 9)
#define CRYSTAL_HZ    12000000U
#define FUNCTION_UART 2U

static void take(rp2040_clock *clock, uint32_t source) {
    clock->control = source;
    chip_await(&clock->selected, 1U << source, 1U << source);
}

void chip_start(void) {
    /* After a restart the PLL still drives everything, which it must not while it is set up. */
    take(SYSTEM, SYSTEM_REFERENCE);
    take(REFERENCE, REFERENCE_RING);

    CRYSTAL->startup = CRYSTAL_DELAY;
    CRYSTAL->control = CRYSTAL_ON | CRYSTAL_MHZ;
    chip_await(&CRYSTAL->status, CRYSTAL_STABLE, CRYSTAL_STABLE);
    take(REFERENCE, REFERENCE_CRYSTAL);

    RESETS_SET = RESET_PLL;
    RESETS_CLEAR = RESET_PLL | RESET_REST;
    chip_await(&RESETS_DONE, RESET_PLL | RESET_REST, RESET_PLL | RESET_REST);
    PLL->status = 1U; /* the crystal as it is */
    PLL->feedback = PLL_FEEDBACK;
    PLL->power = PLL_OUTPUT_OFF;
    chip_await(&PLL->status, PLL_LOCKED, PLL_LOCKED);
    PLL->dividers = PLL_DIVIDERS;
    PLL->power = 0U;
    take(SYSTEM, SYSTEM_PLL);
    PERIPHERALS->control = PERIPHERALS_ON;

    WATCHDOG_TICK = TICK_ON | (CRYSTAL_HZ / 1000000U);
    PIN_FUNCTION(BOARD_UART_PIN_SEND) = FUNCTION_UART;
    PIN_FUNCTION(BOARD_UART_PIN_RECEIVE) = FUNCTION_UART;
}
