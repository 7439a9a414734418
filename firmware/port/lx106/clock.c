/* SPDX-License-Identifier: Apache-2.0 */

/* Xtensa's cycle counter of 32 bits and its comparator. */

#include "board.h"
#include "chip.h"
#include "turns.h"

static clock_turns turns;

static void compare_with(uint32_t ticks) {
    __asm volatile("wsr.ccompare0 %0\n esync" : : "a"(ticks)); /* and clears the interrupt */
}

void chip_clock_start(void) {
    chip_clock_alarm_off();
}

uint32_t chip_clock_now(void) {
    uint32_t now;
    __asm volatile("rsr.ccount %0" : "=a"(now));
    return now;
}

#define HALF 0x80000000U

uint64_t chip_clock_ticks(void) {
    return clock_widen(&turns);
}

void chip_clock_alarm(uint32_t ticks) {
    compare_with(chip_clock_now() + (ticks < BOARD_LONGEST_SLEEP ? ticks : BOARD_LONGEST_SLEEP));
}

/* Only when the counter comes to its next half. */
void chip_clock_alarm_off(void) {
    compare_with((chip_clock_now() & HALF) ^ HALF);
}

void chip_clock_interrupt(void) {
    (void)chip_clock_ticks();
    chip_clock_alarm_off();
}
