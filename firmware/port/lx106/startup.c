/* SPDX-License-Identifier: Apache-2.0 */

/* Reset and exceptions of the Xtensa core lx106 (call0 ABI, interrupts of level 1). A fault starts
 * the firmware anew: the session layer on the other side knows what a rebooted device is, while a
 * device that hangs only ever times out. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "chip.h"
#include "fleetgrad/fg_port.h"

#define CAUSE_INTERRUPT 4U
#define TIMER_INTERRUPT (1U << 6)

/* Set by the linker script; the address of a size is the size. */
extern uint8_t fg_data_start[];
extern const uint8_t fg_data_load[];
extern const uint8_t fg_data_bytes[];
extern uint8_t fg_bss_start[];
extern const uint8_t fg_bss_bytes[];

void Reset_Handler(void);
void Exception_Handler(void);

/* Reset, and the vectors at fixed distances from VECBASE: debug, kernel, user and double exception.
 * All save what C may change and call Exception_Handler(), which returns from interrupts alone. */
__asm(".section .start, \"ax\"\n"
      ".balign 256\n"
      "vectors:\n"
      "    j _start\n"
      "    .balign 4\n"
      "    .literal_position\n"
      "    .org vectors + 0x10\n"
      "    j exception\n"
      "    .org vectors + 0x30\n"
      "    j exception\n"
      "    .org vectors + 0x50\n"
      "    j exception\n"
      "    .org vectors + 0x70\n"
      "    j exception\n"
      "    .org vectors + 0x80\n"
      "exception:\n"
      "    addi a1, a1, -64\n"
      "    s32i a0, a1, 0\n"
      "    s32i a2, a1, 4\n"
      "    s32i a3, a1, 8\n"
      "    s32i a4, a1, 12\n"
      "    s32i a5, a1, 16\n"
      "    s32i a6, a1, 20\n"
      "    s32i a7, a1, 24\n"
      "    s32i a8, a1, 28\n"
      "    s32i a9, a1, 32\n"
      "    s32i a10, a1, 36\n"
      "    s32i a11, a1, 40\n"
      "    rsr.sar a2\n"
      "    s32i a2, a1, 44\n"
      "    call0 Exception_Handler\n"
      "    l32i a2, a1, 44\n"
      "    wsr.sar a2\n"
      "    l32i a0, a1, 0\n"
      "    l32i a2, a1, 4\n"
      "    l32i a3, a1, 8\n"
      "    l32i a4, a1, 12\n"
      "    l32i a5, a1, 16\n"
      "    l32i a6, a1, 20\n"
      "    l32i a7, a1, 24\n"
      "    l32i a8, a1, 28\n"
      "    l32i a9, a1, 32\n"
      "    l32i a10, a1, 36\n"
      "    l32i a11, a1, 40\n"
      "    addi a1, a1, 64\n"
      "    rfe\n"
      ".globl _start\n"
      "_start:\n"
      "    movi a2, 1\n" /* no exception level, interrupts of level 1 masked */
      "    wsr.ps a2\n"
      "    movi a2, 0\n"
      "    wsr.intenable a2\n"
      "    movi a2, vectors\n"
      "    wsr.vecbase a2\n"
      "    rsync\n"
      "    movi a1, fg_stack_top\n"
      "    j Reset_Handler\n");

/* What the stack bound counts as an interrupt's. */
extern void (*const fg_vectors[1])(void);
__attribute__((section(".vectors"), used)) void (*const fg_vectors[1])(void) = {Exception_Handler};

void chip_core_start(void) {
    __asm volatile("wsr.intenable %0\n rsync" : : "a"(TIMER_INTERRUPT));
    chip_core_unmask(0U);
}

uint32_t chip_core_mask(void) {
    uint32_t before;
    __asm volatile("rsil %0, 1" : "=a"(before) : : "memory");
    return before;
}

void chip_core_unmask(uint32_t before) {
    __asm volatile("wsr.ps %0\n rsync" : : "a"(before) : "memory");
}

/* Unmasks and waits in one instruction. */
void chip_core_sleep(void) {
    __asm volatile("waiti 0" ::: "memory");
}

/* The simulator has no reset that a program can ask for: the start-up code is one. */
_Noreturn void chip_core_restart(void) {
    __asm volatile("j _start");
    __builtin_unreachable();
}

void Exception_Handler(void) {
    uint32_t cause;
    __asm volatile("rsr.exccause %0" : "=a"(cause));
    if (cause != CAUSE_INTERRUPT) {
        chip_core_restart();
    }
    chip_clock_interrupt();
}

void Reset_Handler(void) {
    memcpy(fg_data_start, fg_data_load, (size_t)fg_data_bytes);
    memset(fg_bss_start, 0, (size_t)fg_bss_bytes);
    fg_app_run();
    chip_core_restart();
}
