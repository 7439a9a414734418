/* SPDX-License-Identifier: Apache-2.0 */

/* Reset and traps of a 32-bit RISC-V core in machine mode. A fault restarts the board: the session
 * layer on the other side knows what a rebooted device is, while a device that hangs only ever
 * times out. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "board.h"
#include "chip.h"
#include "fleetgrad/fg_port.h"

#define MSTATUS_MIE   (1U << 3)
#define MIE_TIMER     (1U << 7)
#define MIE_EXTERNAL  (1U << 11)
#define CAUSE_IRQ     0x80000000U
#define CAUSE_TIMER   (CAUSE_IRQ | 7U)
#define CAUSE_OUTSIDE (CAUSE_IRQ | 11U)

/* The platform-level interrupt controller, as the first hart's machine mode sees it. */
#define PLIC_PRIORITY  ((volatile uint32_t *)BOARD_PLIC)
#define PLIC_ENABLE    ((volatile uint32_t *)(BOARD_PLIC + 0x2000U))
#define PLIC_THRESHOLD (*(volatile uint32_t *)(BOARD_PLIC + 0x200000U))
#define PLIC_CLAIM     (*(volatile uint32_t *)(BOARD_PLIC + 0x200004U))

/* Set by the linker script; the address of a size is the size. */
extern uint8_t fg_data_start[];
extern const uint8_t fg_data_load[];
extern const uint8_t fg_data_bytes[];
extern uint8_t fg_bss_start[];
extern const uint8_t fg_bss_bytes[];

void Reset_Handler(void);
void Trap_Handler(void);

/* The linker shortens nothing relative to gp here: the register stays unused. */
__asm(".section .start, \"ax\"\n"
      ".globl _start\n"
      "_start:\n"
      "    la sp, fg_stack_top\n"
      "    j Reset_Handler\n");

/* All traps come here; what the stack bound counts as an interrupt's. */
extern void (*const fg_vectors[1])(void);
__attribute__((section(".vectors"), used)) void (*const fg_vectors[1])(void) = {Trap_Handler};

void chip_core_start(void) {
    PLIC_PRIORITY[BOARD_UART_INTERRUPT] = 1U;
    PLIC_ENABLE[BOARD_UART_INTERRUPT / 32U] = 1U << (BOARD_UART_INTERRUPT % 32U);
    PLIC_THRESHOLD = 0U;
    __asm volatile("csrs mie, %0" : : "r"(MIE_TIMER | MIE_EXTERNAL));
    chip_core_unmask(MSTATUS_MIE);
}

uint32_t chip_core_mask(void) {
    uint32_t before;
    __asm volatile("csrrc %0, mstatus, %1" : "=r"(before) : "r"(MSTATUS_MIE) : "memory");
    return before & MSTATUS_MIE;
}

void chip_core_unmask(uint32_t before) {
    __asm volatile("csrs mstatus, %0" : : "r"(before) : "memory");
}

/* A pending interrupt ends WFI even while it is masked. */
void chip_core_sleep(void) {
    __asm volatile("wfi" ::: "memory");
}

_Noreturn void chip_core_restart(void) {
    *(volatile uint32_t *)BOARD_RESET = BOARD_RESET_VALUE;
    for (;;) { /* the reset takes a few cycles to arrive */
    }
}

__attribute__((interrupt("machine"), aligned(4))) void Trap_Handler(void) {
    uint32_t cause;
    __asm volatile("csrr %0, mcause" : "=r"(cause));
    if (cause == CAUSE_TIMER) {
        chip_clock_interrupt();
    } else if (cause == CAUSE_OUTSIDE) {
        const uint32_t line = PLIC_CLAIM;
        chip_uart_interrupt();
        PLIC_CLAIM = line;
    } else {
        chip_core_restart();
    }
}

void Reset_Handler(void) {
    __asm volatile("csrw mtvec, %0" : : "r"(fg_vectors[0]));
    memcpy(fg_data_start, fg_data_load, (size_t)fg_data_bytes);
    memset(fg_bss_start, 0, (size_t)fg_bss_bytes);
    fg_app_run();
    chip_core_restart();
}
