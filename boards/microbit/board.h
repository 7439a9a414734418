/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_BOARD_H
#define FG_BOARD_H

/* BBC micro:bit, first edition: Nordic nRF51822. */

#define BOARD_CLOCK_HZ 16000000U

#define BOARD_UART   0x40002000U /* UART0 */
#define BOARD_TIMER0 0x40008000U

#define BOARD_FLASH_PAGE_BYTES 1024U

/* To the USB interface chip. */
#define BOARD_UART_PIN_SEND    24U
#define BOARD_UART_PIN_RECEIVE 25U

#define BOARD_INTERRUPTS      2U, 8U /* UART0, TIMER0 */
#define BOARD_INTERRUPT_LINES 32U

#endif
