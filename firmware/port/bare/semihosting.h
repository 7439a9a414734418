/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_SEMIHOSTING_H
#define FG_SEMIHOSTING_H

/* Semihosting: the debugger or emulator does a bit of I/O for the firmware. Without one of them
 * the instruction faults, so nothing but the bench firmware uses it. */

#include <stddef.h>
#include <stdint.h>

/* Opens the file that the emulator's `arg=` names, for writing; negative when that fails. */
int32_t semihosting_create(void);

/* Bytes that were not written: 0 when all went well. */
uint32_t semihosting_write(int32_t file, const void *bytes, size_t count);

/* Closes all files and ends the emulator with this exit code. */
_Noreturn void semihosting_exit(uint32_t code);

#endif
