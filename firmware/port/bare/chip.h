/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_CHIP_H
#define FG_CHIP_H

/* What the bare-metal port (port.c) is put together from: a core, a UART and a clock, each from a
 * folder of its own. A board names its folders in board.toml; where their registers lie, and which
 * interrupts they raise, is in its board.h. */

#include <stdbool.h>
#include <stdint.h>

/* Clears what the toolchain has put into memories other than the main one. */
void port_clear_regions(void);

/* --- The chip, on boards that define BOARD_STARTS_CHIP: clocks and pins, before all else.
 * Elsewhere what a reset leaves is enough. --- */
void chip_start(void);

/* --- The core (its folder also has the start-up code and core.h) --- */

/* Interrupts on from now on. */
void chip_core_start(void);

/* Sleeps until an interrupt is pending. Called with interrupts masked: none can slip in between the
 * caller's last look and the sleep. */
void chip_core_sleep(void);

/* Interrupts off, and as they were before. */
uint32_t chip_core_mask(void);
void chip_core_unmask(uint32_t before);

_Noreturn void chip_core_restart(void);

/* --- The clock: BOARD_CLOCK_HZ ticks in a second --- */

void chip_clock_start(void);

/* Free-running, counts up and wraps. */
uint32_t chip_clock_now(void);

/* The same without wrapping. */
uint64_t chip_clock_ticks(void);

/* An interrupt after so many ticks, below 2^31, which does nothing but end a sleep. */
void chip_clock_alarm(uint32_t ticks);
void chip_clock_alarm_off(void);
void chip_clock_interrupt(void);

/* --- The UART --- */

void chip_uart_start(void);
bool chip_uart_takes(void);
void chip_uart_send(uint8_t byte);

/* Hands what came to port_received() and clears what is pending, the end of a transmission too. */
void chip_uart_interrupt(void);

/* --- The port, for the others --- */

/* A byte from the line. */
void port_received(uint8_t byte);

#endif
