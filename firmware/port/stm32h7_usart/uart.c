/* SPDX-License-Identifier: Apache-2.0 */

/* The USART of ST's STM32H7 family, without flow control or queues. */

#include <stddef.h>

#include "board.h"
#include "chip.h"

typedef struct stm32h7_usart {
    volatile uint32_t control;
    volatile uint32_t unused0[2];
    volatile uint32_t baud; /* 0x0C */
    volatile uint32_t unused1[3];
    volatile uint32_t status;   /* 0x1C */
    volatile uint32_t clear;    /* 0x20; write 1: clear in status */
    volatile uint32_t received; /* 0x24 */
    volatile uint32_t send;     /* 0x28 */
} stm32h7_usart;

_Static_assert(offsetof(stm32h7_usart, baud) == 0x0CU, "as in the reference manual");
_Static_assert(offsetof(stm32h7_usart, status) == 0x1CU, "as in the reference manual");
_Static_assert(offsetof(stm32h7_usart, send) == 0x28U, "as in the reference manual");

/* In status and, for the first two, in clear. */
#define OVERRUN  (1U << 3)
#define SENT     (1U << 6) /* the line is idle */
#define RECEIVED (1U << 5)
#define TAKES    (1U << 7)

/* In control. */
#define ENABLE             (1U << 0)
#define RECEIVE            (1U << 2)
#define SEND               (1U << 3)
#define RECEIVED_INTERRUPT (1U << 5)
#define SENT_INTERRUPT     (1U << 6)

#define BAUD 115200U
#define UART ((stm32h7_usart *)BOARD_UART)

void chip_uart_start(void) {
    /* Sixteen samples by bit: the divider is the quotient itself. */
    UART->baud = (BOARD_UART_CLOCK_HZ + BAUD / 2U) / BAUD;
    UART->control = ENABLE | SEND | RECEIVE;
    UART->clear = SENT; /* set by a reset; nothing has been sent yet */
    UART->control = ENABLE | SEND | RECEIVE | RECEIVED_INTERRUPT | SENT_INTERRUPT;
}

bool chip_uart_takes(void) {
    return (UART->status & TAKES) != 0U;
}

void chip_uart_send(uint8_t byte) {
    UART->send = byte;
}

void chip_uart_interrupt(void) {
    UART->clear = SENT | OVERRUN; /* an overrun interrupts until it is cleared */
    while ((UART->status & RECEIVED) != 0U) {
        port_received((uint8_t)UART->received);
    }
}
