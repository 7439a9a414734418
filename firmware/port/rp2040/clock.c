/* SPDX-License-Identifier: Apache-2.0 */

/* The timer of the RP2040: 64 bits of microseconds, and alarms that compare with the lower half. */

#include <stddef.h>

#include "board.h"
#include "chip.h"

typedef struct rp2040_timer {
    volatile uint32_t unused0[4];
    volatile uint32_t alarm[4]; /* 0x10; writing one arms it */
    volatile uint32_t armed;    /* 0x20; write 1: disarm */
    volatile uint32_t high;     /* 0x24 */
    volatile uint32_t low;
    volatile uint32_t unused1[2];
    volatile uint32_t interrupt; /* 0x34; write 1: clear */
    volatile uint32_t interrupts_on;
} rp2040_timer;

_Static_assert(offsetof(rp2040_timer, armed) == 0x20U, "as in the data sheet");
_Static_assert(offsetof(rp2040_timer, interrupt) == 0x34U, "as in the data sheet");

#define TIMER  ((rp2040_timer *)0x40054000U)
#define ALARM0 (1U << 0)

void chip_clock_start(void) {
    TIMER->interrupts_on = ALARM0;
}

uint32_t chip_clock_now(void) {
    return TIMER->low;
}

uint64_t chip_clock_ticks(void) {
    uint32_t high = TIMER->high;
    uint32_t low = TIMER->low;
    const uint32_t again = TIMER->high;
    if (again != high) { /* it turned over in between */
        high = again;
        low = TIMER->low;
    }
    return ((uint64_t)high << 32) | low;
}

void chip_clock_alarm(uint32_t ticks) {
    TIMER->interrupt = ALARM0;
    /* One that has gone by before it is armed would only fire a turn later. */
    TIMER->alarm[0] = chip_clock_now() + (ticks > 2U ? ticks : 2U);
}

void chip_clock_alarm_off(void) {
    TIMER->armed = ALARM0;
}

void chip_clock_interrupt(void) {
    TIMER->interrupt = ALARM0;
}
