/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_BOARD_H
#define FG_BOARD_H

/* ST STM32F4 Discovery (STM32F407VG). USART2 is on pins PA2 and PA3, for an adapter. */

#define BOARD_STARTS_CHIP
#define BOARD_CLOCK_HZ      84000000U /* of the timers on the first peripheral bus */
#define BOARD_UART_CLOCK_HZ 42000000U

#define BOARD_UART 0x40004400U /* USART2 */
#define BOARD_TIM2 0x40000000U
#define BOARD_TIM5 0x40000C00U

#define BOARD_UART_APB1_CLOCK  (1U << 17)
#define BOARD_UART_PORT        0U /* GPIOA */
#define BOARD_UART_PIN_SEND    2U
#define BOARD_UART_PIN_RECEIVE 3U

#define BOARD_STORE_SECTOR 1U

#define BOARD_INTERRUPTS      28U, 38U, 50U /* TIM2, USART2, TIM5 */
#define BOARD_INTERRUPT_LINES 82U

#endif
