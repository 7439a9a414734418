/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_BOARD_H
#define FG_BOARD_H

/* Nordic nRF52840-DK (PCA10056). */

#define BOARD_STARTS_CHIP
#define BOARD_CLOCK_HZ 16000000U

#define BOARD_UART   0x40002000U /* UARTE0 */
#define BOARD_TIMER0 0x40008000U

#define BOARD_FLASH_PAGE_BYTES 4096U

/* To the debugger's USB port. */
#define BOARD_UART_PIN_SEND    6U /* P0.06 */
#define BOARD_UART_PIN_RECEIVE 8U /* P0.08 */

#define BOARD_INTERRUPTS      2U, 8U /* UARTE0, TIMER0 */
#define BOARD_INTERRUPT_LINES 48U

#endif
