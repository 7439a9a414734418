/* SPDX-License-Identifier: Apache-2.0 */

/* TIMER0 of Nordic's nRF51 and nRF52: on the nRF51 the one of its timers that has 32 bits. */

#include <stddef.h>

#include "board.h"
#include "chip.h"
#include "turns.h"

typedef struct nrf51_timer {
    volatile uint32_t task_start;
    volatile uint32_t task_stop;
    volatile uint32_t task_count;
    volatile uint32_t task_clear;
    volatile uint32_t unused0[12];
    volatile uint32_t task_capture[4]; /* 0x040 */
    volatile uint32_t unused1[60];
    volatile uint32_t event_compare[4]; /* 0x140 */
    volatile uint32_t unused2[109];
    volatile uint32_t interrupts_on;  /* 0x304 */
    volatile uint32_t interrupts_off; /* 0x308 */
    volatile uint32_t unused3[126];
    volatile uint32_t mode;  /* 0x504 */
    volatile uint32_t width; /* 0x508 */
    volatile uint32_t unused4;
    volatile uint32_t prescaler; /* 0x510 */
    volatile uint32_t unused5[11];
    volatile uint32_t capture[4]; /* 0x540 */
} nrf51_timer;

_Static_assert(offsetof(nrf51_timer, task_capture) == 0x040U, "as in the reference manual");
_Static_assert(offsetof(nrf51_timer, event_compare) == 0x140U, "as in the reference manual");
_Static_assert(offsetof(nrf51_timer, interrupts_on) == 0x304U, "as in the reference manual");
_Static_assert(offsetof(nrf51_timer, mode) == 0x504U, "as in the reference manual");
_Static_assert(offsetof(nrf51_timer, capture) == 0x540U, "as in the reference manual");

#define WIDTH_32_BITS 3U
/* In interrupts_on and _off. */
#define COMPARE(which) (1U << (16U + (which)))

/* Which of the four capture registers does what. */
enum { ALARM = 0, NOW = 1, HALF_TURN = 2 };

#define HALF 0x80000000U

#define TIMER ((nrf51_timer *)BOARD_TIMER0)

static clock_turns turns;

void chip_clock_start(void) {
    TIMER->task_stop = 1U;
    TIMER->mode = 0U;
    TIMER->width = WIDTH_32_BITS;
    TIMER->prescaler = 0U; /* BOARD_CLOCK_HZ as it is */
    TIMER->capture[HALF_TURN] = HALF;
    TIMER->interrupts_on = COMPARE(HALF_TURN);
    TIMER->task_clear = 1U;
    TIMER->task_start = 1U;
}

uint32_t chip_clock_now(void) {
    TIMER->task_capture[NOW] = 1U;
    return TIMER->capture[NOW];
}

uint64_t chip_clock_ticks(void) {
    return clock_widen(&turns);
}

void chip_clock_alarm(uint32_t ticks) {
    TIMER->event_compare[ALARM] = 0U;
    TIMER->capture[ALARM] = chip_clock_now() + ticks;
    TIMER->interrupts_on = COMPARE(ALARM);
}

void chip_clock_alarm_off(void) {
    TIMER->interrupts_off = COMPARE(ALARM);
}

void chip_clock_interrupt(void) {
    TIMER->event_compare[ALARM] = 0U;
    if (TIMER->event_compare[HALF_TURN] != 0U) {
        TIMER->event_compare[HALF_TURN] = 0U;
        TIMER->capture[HALF_TURN] ^= HALF;
        (void)chip_clock_ticks();
    }
}
