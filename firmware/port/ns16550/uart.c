/* SPDX-License-Identifier: Apache-2.0 */

/* The 16550 UART, one byte per register. */

#include "board.h"
#include "chip.h"

typedef struct ns16550 {
    volatile uint8_t data;     /* divisor, low byte, while DIVISOR_ACCESS is set */
    volatile uint8_t enable;   /* divisor, high byte */
    volatile uint8_t identify; /* read: what is pending; write: FIFO control */
    volatile uint8_t line_control;
    volatile uint8_t modem_control;
    volatile uint8_t line_status;
} ns16550;

#define ENABLE_RECEIVED (1U << 0)
#define ENABLE_SENT     (1U << 1)
#define FIFO_ENABLE     (1U << 0)
#define FIFO_CLEAR      (3U << 1)
#define EIGHT_BITS      3U
#define DIVISOR_ACCESS  (1U << 7)
#define STATUS_RECEIVED (1U << 0)
#define STATUS_TAKES    (1U << 5)
#define SAMPLES_PER_BIT 16U

#define BAUD    115200U
#define DIVISOR (BOARD_UART_CLOCK_HZ / (SAMPLES_PER_BIT * BAUD))
#define UART    ((ns16550 *)BOARD_UART)

void chip_uart_start(void) {
    UART->line_control = DIVISOR_ACCESS | EIGHT_BITS;
    UART->data = (uint8_t)DIVISOR;
    UART->enable = (uint8_t)(DIVISOR >> 8);
    UART->line_control = EIGHT_BITS;
    UART->identify = FIFO_ENABLE | FIFO_CLEAR;
    UART->enable = ENABLE_RECEIVED | ENABLE_SENT;
}

bool chip_uart_takes(void) {
    return (UART->line_status & STATUS_TAKES) != 0U;
}

void chip_uart_send(uint8_t byte) {
    UART->data = byte;
}

void chip_uart_interrupt(void) {
    (void)UART->identify; /* clears that a byte was sent */
    while ((UART->line_status & STATUS_RECEIVED) != 0U) {
        port_received(UART->data);
    }
}
