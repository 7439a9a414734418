/* SPDX-License-Identifier: Apache-2.0 */

/* Reset and clock control (RCC) of ST's STM32F4 family: 168 MHz from the internal oscillator, which
 * needs no crystal and is within the 2 % that a UART forgives. 42 MHz for the UARTs on the first
 * peripheral bus, 84 MHz for its timers. */

#include <stddef.h>

#include "await.h"
#include "board.h"
#include "chip.h"
#include "stm32_gpio.h"

typedef struct stm32f4_rcc {
    volatile uint32_t control;
    volatile uint32_t pll;
    volatile uint32_t config; /* 0x08 */
    volatile uint32_t unused0[9];
    volatile uint32_t ahb1_clocks; /* 0x30 */
    volatile uint32_t unused1[3];
    volatile uint32_t apb1_clocks; /* 0x40 */
} stm32f4_rcc;

_Static_assert(offsetof(stm32f4_rcc, ahb1_clocks) == 0x30U, "as in the reference manual");
_Static_assert(offsetof(stm32f4_rcc, apb1_clocks) == 0x40U, "as in the reference manual");

#define RCC  ((stm32f4_rcc *)0x40023800U)
#define GPIO ((stm32_gpio *)(0x40020000U + BOARD_UART_PORT * GPIO_PORT_BYTES))

/* Flash access control. */
#define FLASH_ACR       (*(volatile uint32_t *)0x40023C00U)
#define ACR_WAIT_STATES 5U /* for 150 to 168 MHz at 2.7 V and more */
#define ACR_PREFETCH    (1U << 8)
#define ACR_CACHES      (3U << 9) /* instructions, data */

#define CONTROL_PLL_ON    (1U << 24)
#define CONTROL_PLL_READY (1U << 25)

/* 16 MHz / 8 * 168 = 336 MHz; / 2 = 168 MHz, / 7 = 48 MHz. The R output, where a chip has it, keeps
 * its reset value. */
#define PLL_168_MHZ ((7U << 24) | (0U << 16) | (168U << 6) | 8U)
#define PLL_R       (7U << 28)

#define CONFIG_APB1_BY_4 (5U << 10)
#define CONFIG_APB2_BY_2 (4U << 13)
#define CONFIG_SWITCH    3U
#define CONFIG_PLL       2U
#define CONFIG_STATUS    (3U << 2)
#define CONFIG_IS_PLL    (2U << 2)

#define APB1_TIM2 (1U << 0)
#define APB1_TIM5 (1U << 3)

void chip_start(void) {
    FLASH_ACR = ACR_WAIT_STATES | ACR_PREFETCH | ACR_CACHES;
    RCC->pll = (RCC->pll & PLL_R) | PLL_168_MHZ;
    RCC->control |= CONTROL_PLL_ON;
    chip_await(&RCC->control, CONTROL_PLL_READY, CONTROL_PLL_READY);
    RCC->config = CONFIG_APB1_BY_4 | CONFIG_APB2_BY_2;
    RCC->config |= CONFIG_PLL;
    chip_await(&RCC->config, CONFIG_STATUS, CONFIG_IS_PLL);

    RCC->ahb1_clocks |= 1U << BOARD_UART_PORT;
    RCC->apb1_clocks |= APB1_TIM2 | APB1_TIM5 | BOARD_UART_APB1_CLOCK;
    (void)RCC->apb1_clocks; /* a clock takes two cycles to arrive */
    gpio_connect_usart(GPIO, BOARD_UART_PIN_SEND);
    gpio_connect_usart(GPIO, BOARD_UART_PIN_RECEIVE);
}
