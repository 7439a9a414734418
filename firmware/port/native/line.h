/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LINE_H
#define LINE_H

/* The line of a process: what of the native port differs from one kind of line to another. */

#include <stddef.h>
#include <stdint.h>

/* Exit codes: the line is closed; the line broke; wrong use or a file that cannot be read. */
enum { EXIT_CLOSED = 0, EXIT_LINE = 1, EXIT_USAGE = 2 };

/* Ends the process with a message; says what errno stands for, unless it is 0. */
_Noreturn void die(int code, const char *what, const char *where);

/* What the line's options are, for the usage text. */
extern const char line_usage[];

/* Takes argv[at], and its value where it has one; returns how many words that were, 0: unknown. */
int line_option(int argc, char **argv, int at);

/* Before the first byte; ends the process when there is no line. */
void line_open(void);

size_t line_read(uint8_t *bytes, size_t capacity);
size_t line_write(const uint8_t *bytes, size_t count);
void line_wait(uint32_t milliseconds);

#endif
