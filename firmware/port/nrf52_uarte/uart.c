/* SPDX-License-Identifier: Apache-2.0 */

/* The UARTE of Nordic's nRF52, which moves bytes to and from RAM by itself: one by one here, as the
 * host's frames have no length that it could wait for. Two cells take turns in receiving, so that a
 * byte may come while the one before it is being taken. */

#include <stddef.h>

#include "await.h"
#include "board.h"
#include "chip.h"

typedef struct nrf52_uarte {
    volatile uint32_t task_start_receive;
    volatile uint32_t unused0;
    volatile uint32_t task_start_send; /* 0x008 */
    volatile uint32_t unused1[65];
    volatile uint32_t event_received; /* 0x110: ENDRX */
    volatile uint32_t unused2[3];
    volatile uint32_t event_sent; /* 0x120: ENDTX */
    volatile uint32_t event_error;
    volatile uint32_t unused3[9];
    volatile uint32_t event_receiving; /* 0x14C: RXSTARTED */
    volatile uint32_t unused4[44];
    volatile uint32_t shortcuts; /* 0x200 */
    volatile uint32_t unused5[64];
    volatile uint32_t interrupts_on; /* 0x304 */
    volatile uint32_t unused6[94];
    volatile uint32_t error_source; /* 0x480 */
    volatile uint32_t unused7[31];
    volatile uint32_t enable; /* 0x500 */
    volatile uint32_t unused8[2];
    volatile uint32_t pin_send; /* 0x50C */
    volatile uint32_t unused9;
    volatile uint32_t pin_receive; /* 0x514 */
    volatile uint32_t unused10[3];
    volatile uint32_t baud; /* 0x524 */
    volatile uint32_t unused11[3];
    volatile uint32_t receive_pointer; /* 0x534 */
    volatile uint32_t receive_count;
    volatile uint32_t unused12[2];
    volatile uint32_t send_pointer; /* 0x544 */
    volatile uint32_t send_count;
} nrf52_uarte;

_Static_assert(offsetof(nrf52_uarte, event_received) == 0x110U, "as in the product specification");
_Static_assert(offsetof(nrf52_uarte, event_sent) == 0x120U, "as in the product specification");
_Static_assert(offsetof(nrf52_uarte, event_receiving) == 0x14CU, "as in the product specification");
_Static_assert(offsetof(nrf52_uarte, shortcuts) == 0x200U, "as in the product specification");
_Static_assert(offsetof(nrf52_uarte, interrupts_on) == 0x304U, "as in the product specification");
_Static_assert(offsetof(nrf52_uarte, error_source) == 0x480U, "as in the product specification");
_Static_assert(offsetof(nrf52_uarte, enable) == 0x500U, "as in the product specification");
_Static_assert(offsetof(nrf52_uarte, pin_receive) == 0x514U, "as in the product specification");
_Static_assert(offsetof(nrf52_uarte, baud) == 0x524U, "as in the product specification");
_Static_assert(offsetof(nrf52_uarte, receive_pointer) == 0x534U, "as in the product specification");
_Static_assert(offsetof(nrf52_uarte, send_pointer) == 0x544U, "as in the product specification");

#define ENABLE      8U
#define BAUD_115200 0x01D60000U
/* Of ENDRX, ENDTX. */
#define RECEIVED_AND_SENT ((1U << 4) | (1U << 8))
/* One byte is followed by the next without the processor. */
#define RECEIVED_STARTS_RECEIVING (1U << 5)

#define UART ((nrf52_uarte *)BOARD_UART)

static struct {
    volatile uint8_t in[2];
    uint32_t next; /* which of them holds the byte that comes first */
    volatile uint8_t out;
    volatile bool sending;
} line;

/* The pointer is taken over when a byte begins, so the next one's can be set at once. */
static void receive_into(uint32_t cell) {
    UART->receive_pointer = (uint32_t)(uintptr_t)&line.in[cell];
}

void chip_uart_start(void) {
    UART->pin_send = BOARD_UART_PIN_SEND;
    UART->pin_receive = BOARD_UART_PIN_RECEIVE;
    UART->baud = BAUD_115200;
    UART->enable = ENABLE;
    UART->event_received = 0U;
    UART->event_sent = 0U;
    UART->shortcuts = RECEIVED_STARTS_RECEIVING;
    UART->interrupts_on = RECEIVED_AND_SENT;
    UART->receive_count = 1U;
    receive_into(0U);
    UART->event_receiving = 0U;
    UART->task_start_receive = 1U;
    chip_await(&UART->event_receiving, 1U, 1U);
    receive_into(1U);
}

bool chip_uart_takes(void) {
    return !line.sending;
}

void chip_uart_send(uint8_t byte) {
    line.sending = true;
    line.out = byte;
    UART->send_pointer = (uint32_t)(uintptr_t)&line.out;
    UART->send_count = 1U;
    UART->task_start_send = 1U;
}

void chip_uart_interrupt(void) {
    if (UART->event_sent != 0U) {
        UART->event_sent = 0U;
        line.sending = false;
    }
    if (UART->event_received != 0U) {
        UART->event_received = 0U;
        port_received(line.in[line.next]);
        receive_into(line.next); /* the other one is being filled */
        line.next ^= 1U;
    }
}
