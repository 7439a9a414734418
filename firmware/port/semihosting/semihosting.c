/* SPDX-License-Identifier: Apache-2.0 */

/* As Arm specifies it; RISC-V took the same operations over. */

#include "semihosting.h"

#include "core.h"

enum {
    SYS_OPEN = 0x01,
    SYS_WRITE = 0x05,
    SYS_GET_CMDLINE = 0x15,
    SYS_EXIT_EXTENDED = 0x20,
    OPEN_WRITE_BINARY = 5,
    EXIT_APPLICATION = 0x20026
};

#define PATH_BYTES 512U

int32_t semihosting_create(void) {
    static char path[PATH_BYTES];
    uintptr_t line[2] = {(uintptr_t)path, sizeof path};
    if (core_semihosting(SYS_GET_CMDLINE, (uintptr_t)line) != 0) {
        return -1;
    }
    const uintptr_t file[3] = {(uintptr_t)path, OPEN_WRITE_BINARY, line[1]};
    return core_semihosting(SYS_OPEN, (uintptr_t)file);
}

uint32_t semihosting_write(int32_t file, const void *bytes, size_t count) {
    const uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)bytes, count};
    return (uint32_t)core_semihosting(SYS_WRITE, (uintptr_t)block);
}

void semihosting_exit(uint32_t code) {
    const uintptr_t block[2] = {EXIT_APPLICATION, code};
    (void)core_semihosting(SYS_EXIT_EXTENDED, (uintptr_t)block);
    for (;;) { /* nothing listens */
    }
}
