/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_BOARD_H
#define FG_BOARD_H

/* Raspberry Pi Pico: RP2040 with 2 MiB of flash. UART0 is on pins GP0 and GP1, for an adapter or a
 * debug probe. */

#define BOARD_STARTS_CHIP
#define BOARD_CLOCK_HZ      1000000U
#define BOARD_UART_CLOCK_HZ 125000000U

#define BOARD_UART 0x40034000U /* UART0 */

#define BOARD_UART_PIN_SEND    0U
#define BOARD_UART_PIN_RECEIVE 1U

#define BOARD_INTERRUPTS      0U, 20U /* alarm 0 of the timer, UART0 */
#define BOARD_INTERRUPT_LINES 32U

#endif
