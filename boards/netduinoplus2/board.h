/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_BOARD_H
#define FG_BOARD_H

/* QEMU's Netduino Plus 2: ST's STM32F405RG, of which it emulates USARTs and timers, but neither
 * clocks nor pins. Its timers count nanoseconds. */

#define BOARD_CLOCK_HZ      1000000000U
#define BOARD_UART_CLOCK_HZ 84000000U

#define BOARD_UART 0x40011000U /* USART1 */
#define BOARD_TIM2 0x40000000U
#define BOARD_TIM5 0x40000C00U

#define BOARD_INTERRUPTS      28U, 37U, 50U /* TIM2, USART1, TIM5 */
#define BOARD_INTERRUPT_LINES 82U

#endif
