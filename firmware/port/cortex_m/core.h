/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_CORE_H
#define FG_CORE_H

/* What is Arm's alone and other parts of a firmware may want inline. */

#include <stdint.h>

/* Two instructions in every round, for rounds > 0. */
static inline void core_spin(uint32_t rounds) {
    __asm volatile(".syntax unified\n1: subs %0, #1\n bne 1b" : "+l"(rounds) : : "cc");
}

/* Nothing below it is in use. */
static inline uintptr_t core_stack_pointer(void) {
    uintptr_t top;
    __asm volatile("mov %0, sp" : "=r"(top));
    return top;
}

/* One call of the debugger or emulator. */
static inline int32_t core_semihosting(uint32_t operation, uintptr_t argument) {
    register uint32_t r0 __asm("r0") = operation;
    register uintptr_t r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

#endif
