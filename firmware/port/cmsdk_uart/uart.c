/* SPDX-License-Identifier: Apache-2.0 */

/* The UART of Arm's Cortex-M System Design Kit (CMSDK), as on the MPS boards. */

#include "board.h"
#include "chip.h"

typedef struct cmsdk_uart {
    volatile uint32_t data;
    volatile uint32_t state;
    volatile uint32_t control;
    volatile uint32_t interrupt; /* read: pending; write ones: clear */
    volatile uint32_t divider;
} cmsdk_uart;

#define TX_FULL      (1U << 0)
#define RX_FULL      (1U << 1)
#define TX_ENABLE    (1U << 0)
#define RX_ENABLE    (1U << 1)
#define TX_INTERRUPT (1U << 2)
#define RX_INTERRUPT (1U << 3)
#define TX_PENDING   (1U << 0)
#define RX_PENDING   (1U << 1)

#define BAUD 115200U
#define UART ((cmsdk_uart *)BOARD_UART)

void chip_uart_start(void) {
    UART->divider = BOARD_UART_CLOCK_HZ / BAUD;
    UART->control = TX_ENABLE | RX_ENABLE | TX_INTERRUPT | RX_INTERRUPT;
}

bool chip_uart_takes(void) {
    return (UART->state & TX_FULL) == 0U;
}

void chip_uart_send(uint8_t byte) {
    UART->data = byte;
}

void chip_uart_interrupt(void) {
    UART->interrupt = TX_PENDING | RX_PENDING;
    while ((UART->state & RX_FULL) != 0U) {
        port_received((uint8_t)UART->data);
    }
}
