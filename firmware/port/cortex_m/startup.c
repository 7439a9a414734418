/* SPDX-License-Identifier: Apache-2.0 */

/* Reset, vectors and faults of a Cortex-M core. A fault restarts the board: the session layer on
 * the other side knows what a rebooted device is, while a device that hangs only ever times out. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "board.h"
#include "chip.h"
#include "fleetgrad/fg_port.h"

/* System control space, from Armv6-M on. */
#define NVIC_ISER   ((volatile uint32_t *)0xE000E100U)
#define SCB_AIRCR   (*(volatile uint32_t *)0xE000ED0CU)
#define AIRCR_RESET 0x05FA0004U

/* A core with floating point or vectors starts without the right to use them. */
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
#define SCB_CPACR       (*(volatile uint32_t *)0xE000ED88U)
#define CPACR_CP10_CP11 (0xFU << 20)
#endif

/* Set by the linker script; the address of a size is the size. */
extern uint32_t fg_stack_top[];
extern uint8_t fg_data_start[];
extern const uint8_t fg_data_load[];
extern const uint8_t fg_data_bytes[];
extern uint8_t fg_bss_start[];
extern const uint8_t fg_bss_bytes[];

void Reset_Handler(void);
void Fault_Handler(void);
void Interrupt_Handler(void);

void chip_core_start(void) {
    static const uint8_t lines[] = {BOARD_INTERRUPTS};
    for (size_t i = 0U; i < sizeof lines; i++) {
        NVIC_ISER[lines[i] / 32U] = 1U << (lines[i] % 32U);
    }
}

uint32_t chip_core_mask(void) {
    uint32_t before;
    __asm volatile("mrs %0, primask\n cpsid i" : "=r"(before) : : "memory");
    return before;
}

void chip_core_unmask(uint32_t before) {
    __asm volatile("msr primask, %0" : : "r"(before) : "memory");
}

/* A pending interrupt ends WFI even while it is masked. */
void chip_core_sleep(void) {
    __asm volatile("dsb\n wfi" ::: "memory");
}

_Noreturn void chip_core_restart(void) {
    SCB_AIRCR = AIRCR_RESET;
    for (;;) { /* the reset takes a few cycles to arrive */
    }
}

void Fault_Handler(void) {
    chip_core_restart();
}

void Interrupt_Handler(void) {
    chip_uart_interrupt();
    chip_clock_interrupt();
}

void Reset_Handler(void) {
#if defined(SCB_CPACR)
    /* Before anything else: the compiler may use these registers for plain copies. */
    SCB_CPACR |= CPACR_CP10_CP11;
    __asm volatile("dsb\n isb" ::: "memory");
#endif
    memcpy(fg_data_start, fg_data_load, (size_t)fg_data_bytes);
    memset(fg_bss_start, 0, (size_t)fg_bss_bytes);
    fg_app_run();
    chip_core_restart();
}

#define CORE_VECTORS 16U

typedef union vector {
    void (*handler)(void);
    uint32_t *stack_top;
} vector;

extern const vector fg_vectors[CORE_VECTORS + BOARD_INTERRUPT_LINES];

__attribute__((section(".vectors"), used))
const vector fg_vectors[CORE_VECTORS + BOARD_INTERRUPT_LINES] = {
    [0] = {.stack_top = fg_stack_top},
    [1] = {.handler = Reset_Handler},
    [2 ... CORE_VECTORS - 1U] = {.handler = Fault_Handler},
    [CORE_VECTORS... CORE_VECTORS + BOARD_INTERRUPT_LINES - 1U] = {.handler = Interrupt_Handler},
};
