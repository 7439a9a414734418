/* SPDX-License-Identifier: Apache-2.0 */

/* The timers of Arm's Cortex-M System Design Kit (CMSDK): two of 32 bits, and a dual timer with
 * prescalers. */

#include "board.h"
#include "chip.h"

typedef struct cmsdk_timer {
    volatile uint32_t control;
    volatile uint32_t value; /* counts down */
    volatile uint32_t reload;
    volatile uint32_t interrupt; /* write 1: clear */
} cmsdk_timer;

#define TIMER_ENABLE    (1U << 0)
#define TIMER_INTERRUPT (1U << 3)

/* One half of the dual timer: the same with a prescaler. */
typedef struct cmsdk_dual_timer {
    volatile uint32_t load;
    volatile uint32_t value; /* counts down */
    volatile uint32_t control;
} cmsdk_dual_timer;

#define DUAL_ENABLE  (1U << 7)
#define DUAL_BY_256  (2U << 2)
#define DUAL_32_BITS (1U << 1)

#define FINE   ((cmsdk_timer *)BOARD_TIMER0)
#define ALARM  ((cmsdk_timer *)BOARD_TIMER1)
#define COARSE ((cmsdk_dual_timer *)BOARD_DUAL_TIMER)

void chip_clock_start(void) {
    FINE->reload = UINT32_MAX;
    FINE->value = UINT32_MAX;
    FINE->control = TIMER_ENABLE;
    COARSE->load = UINT32_MAX;
    COARSE->control = DUAL_ENABLE | DUAL_BY_256 | DUAL_32_BITS;
}

uint32_t chip_clock_now(void) {
    return UINT32_MAX - FINE->value;
}

/* The low half from the timer that counts every tick, the high half from the one that counts every
 * 256th: together they last for half a day. */
uint64_t chip_clock_ticks(void) {
    const uint64_t coarse = (uint64_t)(UINT32_MAX - COARSE->value) << 8;
    const uint32_t fine = chip_clock_now();
    /* The two differ by a few hundred ticks and whole turns of the fine one. */
    const uint64_t turns = (coarse - fine + (UINT64_C(1) << 31)) >> 32;
    return fine + (turns << 32);
}

void chip_clock_alarm(uint32_t ticks) {
    ALARM->control = 0U;
    ALARM->reload = ticks;
    ALARM->value = ticks;
    ALARM->control = TIMER_ENABLE | TIMER_INTERRUPT;
}

void chip_clock_alarm_off(void) {
    ALARM->control = 0U;
}

void chip_clock_interrupt(void) {
    ALARM->control = 0U;
    ALARM->interrupt = 1U;
}
