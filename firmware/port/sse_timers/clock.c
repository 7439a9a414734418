/* SPDX-License-Identifier: Apache-2.0 */

/* The system counter and system timers of Arm's Corstone subsystems (SSE-300 and later): one
 * counter of 64 bits, and timers that compare with it. */

#include "board.h"
#include "chip.h"

/* The control frame of the system counter. */
typedef struct sse_counter {
    volatile uint32_t control;
} sse_counter;

#define COUNTER_ENABLE (1U << 0)

/* A system timer. */
typedef struct sse_timer {
    volatile uint32_t count_low; /* of the system counter */
    volatile uint32_t count_high;
    volatile uint32_t unused[2];
    volatile uint32_t frequency;
    volatile uint32_t unused_too[3];
    volatile uint32_t compare_low;
    volatile uint32_t compare_high;
    volatile uint32_t down;
    volatile uint32_t control;
} sse_timer;

#define TIMER_ENABLE (1U << 0)

#define COUNTER ((sse_counter *)BOARD_SYSTEM_COUNTER)
#define ALARM   ((sse_timer *)BOARD_SYSTEM_TIMER)

void chip_clock_start(void) {
    COUNTER->control |= COUNTER_ENABLE;
}

uint32_t chip_clock_now(void) {
    return ALARM->count_low;
}

uint64_t chip_clock_ticks(void) {
    uint32_t high = ALARM->count_high;
    uint32_t low = ALARM->count_low;
    const uint32_t again = ALARM->count_high;
    if (again != high) { /* it turned over in between */
        high = again;
        low = ALARM->count_low;
    }
    return ((uint64_t)high << 32) | low;
}

void chip_clock_alarm(uint32_t ticks) {
    ALARM->down = ticks; /* sets the comparator so far ahead of the counter */
    ALARM->control = TIMER_ENABLE;
}

void chip_clock_alarm_off(void) {
    ALARM->control = 0U;
}

void chip_clock_interrupt(void) {
    ALARM->control = 0U;
}
