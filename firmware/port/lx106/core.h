/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_CORE_H
#define FG_CORE_H

/* What is Xtensa's alone and other parts of a firmware may want inline. */

#include <stdint.h>

/* Two instructions in every round, for rounds > 0. */
static inline void core_spin(uint32_t rounds) {
    __asm volatile("1: addi %0, %0, -1\n bnez %0, 1b" : "+a"(rounds));
}

/* Nothing below it is in use. */
static inline uintptr_t core_stack_pointer(void) {
    uintptr_t top;
    __asm volatile("mov %0, sp" : "=a"(top));
    return top;
}

/* One call of the simulator: a C library's file operations, on the host. */
static inline int32_t core_simulator(uint32_t operation, uintptr_t one, uintptr_t two,
                                     uintptr_t three) {
    register uint32_t a2 __asm("a2") = operation;
    register uintptr_t a3 __asm("a3") = one;
    register uintptr_t a4 __asm("a4") = two;
    register uintptr_t a5 __asm("a5") = three;
    __asm volatile("simcall" : "+a"(a2), "+a"(a3) : "a"(a4), "a"(a5) : "memory");
    return (int32_t)a2;
}

enum {
    SIMULATOR_EXIT = 1,
    SIMULATOR_READ = 3,
    SIMULATOR_WRITE = 4,
    SIMULATOR_OPEN = 5,
    SIMULATOR_ARGUMENT_BYTES = 1001,
    SIMULATOR_ARGUMENTS = 1002
};

#endif
