/* SPDX-License-Identifier: Apache-2.0 */

/* Reset, vectors and faults. A fault restarts the board: the session layer on the other side knows
 * what a rebooted device is, while a device that hangs only ever times out. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fleetgrad/fg_port.h"
#include "mps2.h"

/* Set by the linker script; the address of a size is the size. */
extern uint32_t fg_stack_top[];
extern uint8_t fg_data_start[];
extern const uint8_t fg_data_load[];
extern const uint8_t fg_data_bytes[];
extern uint8_t fg_bss_start[];
extern const uint8_t fg_bss_bytes[];

void Reset_Handler(void);
void Fault_Handler(void);
void UART0_RX_Handler(void);
void UART0_TX_Handler(void);
void TIMER1_Handler(void);

_Noreturn static void restart(void) {
    ARM_SCB_AIRCR = ARM_AIRCR_RESET;
    for (;;) { /* the reset takes a few cycles to arrive */
    }
}

void Fault_Handler(void) {
    restart();
}

void Reset_Handler(void) {
    /* Before anything else: the compiler may use the FPU's registers for plain copies. */
    ARM_SCB_CPACR |= ARM_CPACR_FPU;
    __asm volatile("dsb\n isb" ::: "memory");
    memcpy(fg_data_start, fg_data_load, (size_t)fg_data_bytes);
    memset(fg_bss_start, 0, (size_t)fg_bss_bytes);
    fg_app_run();
    restart();
}

#define CORE_VECTORS  16U
#define EXTERNAL_IRQS 32U
#define IRQ(line)     (CORE_VECTORS + (line))

typedef union vector {
    void (*handler)(void);
    uint32_t *stack_top;
} vector;

extern const vector fg_vectors[CORE_VECTORS + EXTERNAL_IRQS];

__attribute__((section(".vectors"), used)) const vector fg_vectors[CORE_VECTORS + EXTERNAL_IRQS] = {
    [0] = {.stack_top = fg_stack_top},
    [1] = {.handler = Reset_Handler},
    [2 ... CORE_VECTORS - 1U] = {.handler = Fault_Handler},
    [IRQ(MPS2_IRQ_UART0_RX)] = {.handler = UART0_RX_Handler},
    [IRQ(MPS2_IRQ_UART0_TX)] = {.handler = UART0_TX_Handler},
    [IRQ(2)... IRQ(MPS2_IRQ_TIMER1 - 1U)] = {.handler = Fault_Handler},
    [IRQ(MPS2_IRQ_TIMER1)] = {.handler = TIMER1_Handler},
    [IRQ(MPS2_IRQ_TIMER1 + 1U)... IRQ(EXTERNAL_IRQS - 1U)] = {.handler = Fault_Handler},
};
