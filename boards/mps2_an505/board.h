/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_BOARD_H
#define FG_BOARD_H

/* Arm MPS2+ with FPGA image AN505 (application note 505). The core starts in the secure state and
 * stays there: all addresses are the secure ones (bit 28 set). */

#define BOARD_CLOCK_HZ      20000000U
#define BOARD_UART_CLOCK_HZ 20000000U

#define BOARD_UART       0x50200000U /* UART0 */
#define BOARD_TIMER0     0x50000000U
#define BOARD_TIMER1     0x50001000U
#define BOARD_DUAL_TIMER 0x50002000U

#define BOARD_INTERRUPTS      32U, 33U, 4U /* UART0 receive and transmit, timer 1 */
#define BOARD_INTERRUPT_LINES 64U

#endif
