/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_BOARD_H
#define FG_BOARD_H

/* ST Nucleo-H743ZI: STM32H743ZI; USART3 goes to the debugger's USB port. */

#define BOARD_STARTS_CHIP
#define BOARD_CLOCK_HZ      200000000U /* of the timers on the first peripheral bus */
#define BOARD_UART_CLOCK_HZ 100000000U

#define BOARD_UART 0x40004800U /* USART3 */
#define BOARD_TIM2 0x40000000U
#define BOARD_TIM5 0x40000C00U

#define BOARD_UART_APB1_CLOCK  (1U << 18)
#define BOARD_UART_PORT        3U /* GPIOD */
#define BOARD_UART_PIN_SEND    8U
#define BOARD_UART_PIN_RECEIVE 9U

#define BOARD_INTERRUPTS      28U, 39U, 50U /* TIM2, USART3, TIM5 */
#define BOARD_INTERRUPT_LINES 150U

#endif
