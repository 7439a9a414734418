/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_BOARD_H
#define FG_BOARD_H

/* Arduino Nano 33 BLE: Nordic nRF52840. */

#define BOARD_STARTS_CHIP
#define BOARD_CLOCK_HZ 16000000U

#define BOARD_UART   0x40002000U /* UARTE0 */
#define BOARD_TIMER0 0x40008000U

#define BOARD_FLASH_PAGE_BYTES 4096U

/* Pins D1 and D0, for an adapter: the USB port is the chip's own, and not used. */
#define BOARD_UART_PIN_SEND    35U /* P1.03 */
#define BOARD_UART_PIN_RECEIVE 42U /* P1.10 */

#define BOARD_INTERRUPTS      2U, 8U /* UARTE0, TIMER0 */
#define BOARD_INTERRUPT_LINES 48U

#endif
