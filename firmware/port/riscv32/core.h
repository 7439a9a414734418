/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_CORE_H
#define FG_CORE_H

/* What is RISC-V's alone and other parts of a firmware may want inline. */

#include <stdint.h>

/* Two instructions in every round, for rounds > 0. */
static inline void core_spin(uint32_t rounds) {
    __asm volatile("1: addi %0, %0, -1\n bnez %0, 1b" : "+r"(rounds));
}

/* Nothing below it is in use. */
static inline uintptr_t core_stack_pointer(void) {
    uintptr_t top;
    __asm volatile("mv %0, sp" : "=r"(top));
    return top;
}

/* One call of the debugger or emulator: the operations are Arm's, the instructions around ebreak
 * tell it from a breakpoint, and none of the three may be compressed or in another page. */
static inline int32_t core_semihosting(uint32_t operation, uintptr_t argument) {
    register uint32_t a0 __asm("a0") = operation;
    register uintptr_t a1 __asm("a1") = argument;
    __asm volatile(".option push\n"
                   ".option norvc\n"
                   ".balign 16\n"
                   "slli x0, x0, 0x1f\n"
                   "ebreak\n"
                   "srai x0, x0, 7\n"
                   ".option pop"
                   : "+r"(a0)
                   : "r"(a1)
                   : "memory");
    return (int32_t)a0;
}

#endif
