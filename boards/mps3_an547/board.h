/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_BOARD_H
#define FG_BOARD_H

/* Arm MPS3 with FPGA image AN547 (application note 547; Corstone SSE-300). The core starts in the
 * secure state and stays there: all addresses are the secure ones (bit 28 set). */

#define BOARD_CLOCK_HZ      32000000U
#define BOARD_UART_CLOCK_HZ 25000000U

#define BOARD_UART           0x59303000U /* UART0 */
#define BOARD_SYSTEM_COUNTER 0x58100000U
#define BOARD_SYSTEM_TIMER   0x58000000U

#define BOARD_INTERRUPTS      33U, 34U, 3U /* UART0 receive and transmit, system timer 0 */
#define BOARD_INTERRUPT_LINES 64U

#endif
