/* SPDX-License-Identifier: Apache-2.0 */

/* Power, reset and clock control (PWR, RCC) of ST's STM32H742, H743 and H753: 400 MHz from the
 * internal oscillator of 64 MHz, which needs no crystal and is within the 2 % that a UART forgives.
 * Buses at 200 MHz, peripherals at 100 MHz, their timers at 200 MHz; both caches on: nothing here
 * uses DMA, so nobody else sees what they hold back. */

#include <stddef.h>

#include "await.h"
#include "board.h"
#include "chip.h"
#include "stm32_gpio.h"

typedef struct stm32h7_pwr {
    volatile uint32_t control1;
    volatile uint32_t status1; /* 0x04 */
    volatile uint32_t control2;
    volatile uint32_t control3; /* 0x0C */
    volatile uint32_t unused0[2];
    volatile uint32_t d3_control; /* 0x18 */
} stm32h7_pwr;

typedef struct stm32h7_rcc {
    volatile uint32_t control;
    volatile uint32_t unused0[3];
    volatile uint32_t config; /* 0x10 */
    volatile uint32_t unused1;
    volatile uint32_t d1_config; /* 0x18 */
    volatile uint32_t d2_config;
    volatile uint32_t d3_config;
    volatile uint32_t unused2;
    volatile uint32_t pll_clocks; /* 0x28 */
    volatile uint32_t pll_config;
    volatile uint32_t pll1_dividers; /* 0x30 */
    volatile uint32_t unused3[43];
    volatile uint32_t ahb4_clocks; /* 0xE0 */
    volatile uint32_t unused4;
    volatile uint32_t apb1_clocks; /* 0xE8 */
} stm32h7_rcc;

_Static_assert(offsetof(stm32h7_pwr, d3_control) == 0x18U, "as in the reference manual");
_Static_assert(offsetof(stm32h7_rcc, d1_config) == 0x18U, "as in the reference manual");
_Static_assert(offsetof(stm32h7_rcc, pll1_dividers) == 0x30U, "as in the reference manual");
_Static_assert(offsetof(stm32h7_rcc, ahb4_clocks) == 0xE0U, "as in the reference manual");
_Static_assert(offsetof(stm32h7_rcc, apb1_clocks) == 0xE8U, "as in the reference manual");

#define PWR  ((stm32h7_pwr *)0x58024800U)
#define RCC  ((stm32h7_rcc *)0x58024400U)
#define GPIO ((stm32_gpio *)(0x58020000U + BOARD_UART_PORT * GPIO_PORT_BYTES))

/* Flash access control: two wait states at 185 to 210 MHz of the bus and 1.15 V or more. */
#define FLASH_ACR     (*(volatile uint32_t *)0x52002000U)
#define ACR_AT_200MHZ ((2U << 4) | 2U)

#define STATUS1_READY  (1U << 13) /* ACTVOSRDY */
#define CONTROL3_MODES 7U
#define CONTROL3_LDO   (1U << 1) /* the boards' supply; may be written once after power-up */
#define D3_SCALE_1     (3U << 14)
#define D3_READY       (1U << 13)

#define CONTROL_PLL1_ON    (1U << 24)
#define CONTROL_PLL1_READY (1U << 25)

/* 64 MHz / 4 = 16 MHz; * 50 = 800 MHz; / 2 = 400 MHz. */
#define PLL1_SOURCE_MASK   0x3F3U
#define PLL1_FROM_HSI_BY_4 (4U << 4)
#define PLL1_CONFIG_MASK   0x7000FU
#define PLL1_8_TO_16_MHZ   (3U << 2)
#define PLL1_P_ON          (1U << 16)
#define PLL1_DIVIDERS      ((1U << 24) | (1U << 16) | (1U << 9) | 49U)

#define BUS_BY_2     8U
#define D1_APB3_BY_2 (4U << 4)
#define D2_APB_BY_2  ((4U << 8) | (4U << 4))
#define D3_APB4_BY_2 (4U << 4)

#define CONFIG_SWITCH_PLL1 3U
#define CONFIG_STATUS      (7U << 3)
#define CONFIG_IS_PLL1     (3U << 3)

#define APB1_TIM2 (1U << 0)
#define APB1_TIM5 (1U << 3)

/* Caches of the Cortex-M7, which a reset leaves off and undefined. */
#define SCB_CCR          (*(volatile uint32_t *)0xE000ED14U)
#define CCR_DATA         (1U << 16)
#define CCR_INSTRUCTIONS (1U << 17)
#define SCB_ICIALLU      (*(volatile uint32_t *)0xE000EF50U)
#define SCB_DCISW        (*(volatile uint32_t *)0xE000EF60U)
#define DATA_SETS        128U /* of 32 bytes, in four ways: 16 KiB */
#define DATA_WAYS        4U

static void start_caches(void) {
    SCB_ICIALLU = 0U;
    for (uint32_t set = 0U; set < DATA_SETS; set++) {
        for (uint32_t way = 0U; way < DATA_WAYS; way++) {
            SCB_DCISW = (way << 30) | (set << 5);
        }
    }
    __asm volatile("dsb\n isb" ::: "memory");
    SCB_CCR |= CCR_DATA | CCR_INSTRUCTIONS;
    __asm volatile("dsb\n isb" ::: "memory");
}

void chip_start(void) {
    PWR->control3 = (PWR->control3 & ~CONTROL3_MODES) | CONTROL3_LDO;
    chip_await(&PWR->status1, STATUS1_READY, STATUS1_READY);
    PWR->d3_control = D3_SCALE_1;
    chip_await(&PWR->d3_control, D3_READY, D3_READY);

    RCC->pll_clocks = (RCC->pll_clocks & ~PLL1_SOURCE_MASK) | PLL1_FROM_HSI_BY_4;
    RCC->pll_config = (RCC->pll_config & ~PLL1_CONFIG_MASK) | PLL1_8_TO_16_MHZ | PLL1_P_ON;
    RCC->pll1_dividers = PLL1_DIVIDERS;
    RCC->control |= CONTROL_PLL1_ON;
    chip_await(&RCC->control, CONTROL_PLL1_READY, CONTROL_PLL1_READY);

    FLASH_ACR = ACR_AT_200MHZ;
    RCC->d1_config = BUS_BY_2 | D1_APB3_BY_2;
    RCC->d2_config = D2_APB_BY_2;
    RCC->d3_config = D3_APB4_BY_2;
    RCC->config |= CONFIG_SWITCH_PLL1;
    chip_await(&RCC->config, CONFIG_STATUS, CONFIG_IS_PLL1);
    start_caches();

    RCC->ahb4_clocks |= 1U << BOARD_UART_PORT;
    RCC->apb1_clocks |= APB1_TIM2 | APB1_TIM5 | BOARD_UART_APB1_CLOCK;
    (void)RCC->apb1_clocks; /* a clock takes two cycles to arrive */
    gpio_connect_usart(GPIO, BOARD_UART_PIN_SEND);
    gpio_connect_usart(GPIO, BOARD_UART_PIN_RECEIVE);
}
