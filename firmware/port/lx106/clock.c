/* SPDX-License-Identifier: Apache-2.0 */

/* Xtensa's cycle counter of 32 bits and its comparator. */

#include "board.h"
#include "chip.h"

/* The 64-bit clock: what the 32-bit one showed last, and how often it has turned over. */
static struct {
    uint32_t last;
    uint32_t turns;
} clock;

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

/* There is no second counter that would tell one turn from two: whoever measures longer than 2^32
 * ticks looks in between. */
uint64_t chip_clock_ticks(void) {
    const uint32_t now = chip_clock_now();
    if (now < clock.last) {
        clock.turns++;
    }
    clock.last = now;
    return ((uint64_t)clock.turns << 32) | now;
}

void chip_clock_alarm(uint32_t ticks) {
    compare_with(chip_clock_now() + (ticks < BOARD_LONGEST_SLEEP ? ticks : BOARD_LONGEST_SLEEP));
}

/* The comparator cannot be turned off, only put as far away as possible. */
void chip_clock_alarm_off(void) {
    compare_with(chip_clock_now() - 1U);
}

void chip_clock_interrupt(void) {
    chip_clock_alarm_off();
}
