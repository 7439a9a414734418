/* SPDX-License-Identifier: Apache-2.0 */

/* Arm's PrimeCell UART (PL011), with its queues of 32 bytes. */

#include <stddef.h>

#include "board.h"
#include "chip.h"

typedef struct pl011 {
    volatile uint32_t data;
    volatile uint32_t unused0[5];
    volatile uint32_t flags; /* 0x18 */
    volatile uint32_t unused1[2];
    volatile uint32_t baud_whole; /* 0x24 */
    volatile uint32_t baud_64ths; /* 0x28 */
    volatile uint32_t line;       /* 0x2C; writing it takes the two before it over */
    volatile uint32_t control;    /* 0x30 */
    volatile uint32_t levels;     /* 0x34 */
    volatile uint32_t interrupts; /* 0x38 */
    volatile uint32_t unused2[2];
    volatile uint32_t clear; /* 0x44 */
} pl011;

_Static_assert(offsetof(pl011, flags) == 0x18U, "as in the reference manual");
_Static_assert(offsetof(pl011, line) == 0x2CU, "as in the reference manual");
_Static_assert(offsetof(pl011, clear) == 0x44U, "as in the reference manual");

/* In flags. */
#define NOTHING_RECEIVED (1U << 4)
#define SEND_FULL        (1U << 5)

#define LINE_8_BITS  (3U << 5)
#define LINE_QUEUES  (1U << 4)
#define CONTROL_ON   ((1U << 0) | (1U << 8) | (1U << 9))
#define LEVELS_LEAST 0U /* interrupts at an eighth of a queue */

/* In interrupts and clear: received, sent down to the level, received and then nothing more. */
#define INTERRUPTS ((1U << 4) | (1U << 5) | (1U << 6))

#define BAUD 115200U
#define UART ((pl011 *)BOARD_UART)

void chip_uart_start(void) {
    /* In 64ths of sixteen samples by bit. */
    const uint32_t divider = (BOARD_UART_CLOCK_HZ * 4U + BAUD / 2U) / BAUD;
    UART->baud_whole = divider / 64U;
    UART->baud_64ths = divider % 64U;
    UART->line = LINE_8_BITS | LINE_QUEUES;
    UART->levels = LEVELS_LEAST;
    UART->interrupts = INTERRUPTS;
    UART->control = CONTROL_ON;
}

bool chip_uart_takes(void) {
    return (UART->flags & SEND_FULL) == 0U;
}

void chip_uart_send(uint8_t byte) {
    UART->data = byte;
}

void chip_uart_interrupt(void) {
    UART->clear = INTERRUPTS;
    while ((UART->flags & NOTHING_RECEIVED) == 0U) {
        port_received((uint8_t)UART->data);
    }
}
