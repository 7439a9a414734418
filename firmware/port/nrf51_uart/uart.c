/* SPDX-License-Identifier: Apache-2.0 */

/* The UART of Nordic's nRF51. It says that a byte has left, never that it is idle: whether it takes
 * the first byte, the port itself must know. */

#include <stddef.h>

#include "board.h"
#include "chip.h"

typedef struct nrf51_uart {
    volatile uint32_t task_start_receive;
    volatile uint32_t unused0;
    volatile uint32_t task_start_send;
    volatile uint32_t unused1[63];
    volatile uint32_t event_received; /* 0x108 */
    volatile uint32_t unused2[4];
    volatile uint32_t event_sent; /* 0x11C */
    volatile uint32_t unused3[121];
    volatile uint32_t interrupts_on; /* 0x304 */
    volatile uint32_t unused4[126];
    volatile uint32_t enable; /* 0x500 */
    volatile uint32_t unused5[2];
    volatile uint32_t pin_send; /* 0x50C */
    volatile uint32_t unused6;
    volatile uint32_t pin_receive; /* 0x514 */
    volatile uint32_t received;    /* 0x518 */
    volatile uint32_t send;        /* 0x51C */
    volatile uint32_t unused7;
    volatile uint32_t baud; /* 0x524 */
} nrf51_uart;

_Static_assert(offsetof(nrf51_uart, event_received) == 0x108U, "as in the reference manual");
_Static_assert(offsetof(nrf51_uart, event_sent) == 0x11CU, "as in the reference manual");
_Static_assert(offsetof(nrf51_uart, interrupts_on) == 0x304U, "as in the reference manual");
_Static_assert(offsetof(nrf51_uart, enable) == 0x500U, "as in the reference manual");
_Static_assert(offsetof(nrf51_uart, baud) == 0x524U, "as in the reference manual");

#define ENABLE            4U
#define BAUD_115200       0x01D7E000U
#define RECEIVED_AND_SENT ((1U << 2) | (1U << 7))

#define UART ((nrf51_uart *)BOARD_UART)

static volatile bool sending;

void chip_uart_start(void) {
    UART->pin_send = BOARD_UART_PIN_SEND;
    UART->pin_receive = BOARD_UART_PIN_RECEIVE;
    UART->baud = BAUD_115200;
    UART->enable = ENABLE;
    UART->event_received = 0U;
    UART->event_sent = 0U;
    UART->interrupts_on = RECEIVED_AND_SENT;
    UART->task_start_receive = 1U;
    UART->task_start_send = 1U;
}

bool chip_uart_takes(void) {
    return !sending;
}

void chip_uart_send(uint8_t byte) {
    sending = true;
    UART->send = byte;
}

void chip_uart_interrupt(void) {
    if (UART->event_sent != 0U) {
        UART->event_sent = 0U;
        sending = false;
    }
    while (UART->event_received != 0U) {
        UART->event_received = 0U;
        port_received((uint8_t)UART->received);
    }
}
