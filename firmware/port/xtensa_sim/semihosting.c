/* SPDX-License-Identifier: Apache-2.0 */

#include "semihosting.h"

#include "core.h"

/* Linux's: create, truncate, write only; readable and writable by its owner. */
#define OPEN_FLAGS 0x241U
#define OPEN_MODE  0x180U

#define ARGUMENT_BYTES 512U

int32_t semihosting_create(void) {
    /* Pointers to the arguments, then the arguments themselves. */
    static union {
        uintptr_t pointers[ARGUMENT_BYTES / sizeof(uintptr_t)];
        char text[ARGUMENT_BYTES];
    } arguments;
    const int32_t bytes = core_simulator(SIMULATOR_ARGUMENT_BYTES, 0U, 0U, 0U);
    if (bytes <= 0 || (uint32_t)bytes > sizeof arguments) {
        return -1;
    }
    (void)core_simulator(SIMULATOR_ARGUMENTS, (uintptr_t)arguments.pointers, 0U, 0U);
    return core_simulator(SIMULATOR_OPEN, arguments.pointers[0], OPEN_FLAGS, OPEN_MODE);
}

uint32_t semihosting_write(int32_t file, const void *bytes, size_t count) {
    const int32_t done = core_simulator(SIMULATOR_WRITE, (uintptr_t)file, (uintptr_t)bytes, count);
    return done < 0 ? (uint32_t)count : (uint32_t)count - (uint32_t)done;
}

void semihosting_exit(uint32_t code) {
    (void)core_simulator(SIMULATOR_EXIT, code, 0U, 0U);
    for (;;) { /* nothing listens */
    }
}
