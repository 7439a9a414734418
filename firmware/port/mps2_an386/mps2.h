/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_MPS2_H
#define FG_MPS2_H

/* The few registers of Arm's MPS2+ board, FPGA image AN386 (application note 386), that the port
 * uses. The peripherals are those of the Cortex-M System Design Kit (CMSDK). */

#include <stdint.h>

#define MPS2_CLOCK_HZ 25000000U

typedef struct mps2_uart {
    volatile uint32_t data;
    volatile uint32_t state;
    volatile uint32_t control;
    volatile uint32_t interrupt; /* read: pending; write ones: clear */
    volatile uint32_t divider;
} mps2_uart;

#define MPS2_UART_TX_FULL      (1U << 0)
#define MPS2_UART_RX_FULL      (1U << 1)
#define MPS2_UART_TX_ENABLE    (1U << 0)
#define MPS2_UART_RX_ENABLE    (1U << 1)
#define MPS2_UART_TX_INTERRUPT (1U << 2)
#define MPS2_UART_RX_INTERRUPT (1U << 3)
#define MPS2_UART_TX_PENDING   (1U << 0)
#define MPS2_UART_RX_PENDING   (1U << 1)

typedef struct mps2_timer {
    volatile uint32_t control;
    volatile uint32_t value; /* counts down */
    volatile uint32_t reload;
    volatile uint32_t interrupt; /* write 1: clear */
} mps2_timer;

#define MPS2_TIMER_ENABLE    (1U << 0)
#define MPS2_TIMER_INTERRUPT (1U << 3)

/* One half of the dual timer: the same with a prescaler. */
typedef struct mps2_dual_timer {
    volatile uint32_t load;
    volatile uint32_t value; /* counts down */
    volatile uint32_t control;
} mps2_dual_timer;

#define MPS2_DUAL_ENABLE  (1U << 7)
#define MPS2_DUAL_BY_256  (2U << 2)
#define MPS2_DUAL_32_BITS (1U << 1)

#define MPS2_UART0  ((mps2_uart *)0x40004000U)
#define MPS2_TIMER0 ((mps2_timer *)0x40000000U)
#define MPS2_TIMER1 ((mps2_timer *)0x40001000U)
#define MPS2_DUAL0  ((mps2_dual_timer *)0x40002000U)

/* Interrupt lines. */
#define MPS2_IRQ_UART0_RX 0U
#define MPS2_IRQ_UART0_TX 1U
#define MPS2_IRQ_TIMER1   9U

/* Armv7-M system control space. */
#define ARM_NVIC_ISER0  (*(volatile uint32_t *)0xE000E100U)
#define ARM_SCB_AIRCR   (*(volatile uint32_t *)0xE000ED0CU)
#define ARM_SCB_CPACR   (*(volatile uint32_t *)0xE000ED88U)
#define ARM_AIRCR_RESET 0x05FA0004U
#define ARM_CPACR_FPU   (0xFU << 20)

#endif
