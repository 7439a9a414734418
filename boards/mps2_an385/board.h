/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_BOARD_H
#define FG_BOARD_H

/* Arm MPS2+ with FPGA image AN385 (application note 385). */

#define BOARD_CLOCK_HZ      25000000U
#define BOARD_UART_CLOCK_HZ 25000000U

#define BOARD_UART       0x40004000U /* UART0 */
#define BOARD_TIMER0     0x40000000U
#define BOARD_TIMER1     0x40001000U
#define BOARD_DUAL_TIMER 0x40002000U

#define BOARD_INTERRUPTS      0U, 1U, 9U /* UART0 receive and transmit, timer 1 */
#define BOARD_INTERRUPT_LINES 32U

#endif
