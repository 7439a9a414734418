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

#define HALF 0x80000000U

/* Looked at in both halves of every turn: the interrupt does when nobody else does. */
uint64_t chip_clock_ticks(void) {
    const uint32_t before = chip_core_mask();
    const uint32_t now = chip_clock_now();
    if (now < clock.last) {
        clock.turns++;
    }
    clock.last = now;
    const uint64_t ticks = ((uint64_t)clock.turns << 32) | now;
    chip_core_unmask(before);
    return ticks;
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
