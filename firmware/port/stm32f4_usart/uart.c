/* SPDX-License-Identifier: Apache-2.0 */

/* The USART of ST's STM32F4 family, without flow control. */

#include <stddef.h>

#include "board.h"
#include "chip.h"

typedef struct stm32f4_usart {
    volatile uint32_t status;
    volatile uint32_t data;
    volatile uint32_t baud;    /* 0x08 */
    volatile uint32_t control; /* 0x0C */
} stm32f4_usart;

_Static_assert(offsetof(stm32f4_usart, control) == 0x0CU, "as in the reference manual");

/* In status. */
#define OVERRUN  (1U << 3)
#define RECEIVED (1U << 5)
#define SENT     (1U << 6) /* the line is idle; write 0: clear */
#define TAKES    (1U << 7)

/* In control. */
#define RECEIVE            (1U << 2)
#define SEND               (1U << 3)
#define RECEIVED_INTERRUPT (1U << 5)
#define SENT_INTERRUPT     (1U << 6)
#define ENABLE             (1U << 13)

#define BAUD 115200U
#define UART ((stm32f4_usart *)BOARD_UART)

void chip_uart_start(void) {
    /* Sixteen samples by bit: the divider is the quotient itself. */
    UART->baud = (BOARD_UART_CLOCK_HZ + BAUD / 2U) / BAUD;
    UART->control = ENABLE | SEND | RECEIVE;
    UART->status = ~SENT; /* set by a reset; nothing has been sent yet */
    UART->control = ENABLE | SEND | RECEIVE | RECEIVED_INTERRUPT | SENT_INTERRUPT;
}

bool chip_uart_takes(void) {
    return (UART->status & TAKES) != 0U;
}

void chip_uart_send(uint8_t byte) {
    UART->data = byte;
}

void chip_uart_interrupt(void) {
    uint32_t status = UART->status;
    UART->status = ~SENT;
    /* An overrun is cleared by reading the data, and interrupts until then. */
    while ((status & (RECEIVED | OVERRUN)) != 0U) {
        const uint8_t byte = (uint8_t)UART->data;
        if ((status & RECEIVED) != 0U) {
            port_received(byte);
        }
        status = UART->status;
    }
}
