/* SPDX-License-Identifier: Apache-2.0 */

/* TIM2 and TIM5 of ST's STM32 families: those of its general-purpose timers that have 32 bits. One
 * counts on, the other runs once for an alarm. */

#include <stddef.h>

#include "board.h"
#include "chip.h"
#include "turns.h"

typedef struct stm32_timer {
    volatile uint32_t control;
    volatile uint32_t unused0[2];
    volatile uint32_t interrupts; /* 0x0C */
    volatile uint32_t status;     /* 0x10; write 0: clear */
    volatile uint32_t generate;   /* 0x14 */
    volatile uint32_t unused1[3];
    volatile uint32_t count; /* 0x24 */
    volatile uint32_t prescaler;
    volatile uint32_t reload; /* 0x2C */
} stm32_timer;

_Static_assert(offsetof(stm32_timer, interrupts) == 0x0CU, "as in the reference manual");
_Static_assert(offsetof(stm32_timer, count) == 0x24U, "as in the reference manual");
_Static_assert(offsetof(stm32_timer, reload) == 0x2CU, "as in the reference manual");

#define CONTROL_ENABLE   (1U << 0)
#define CONTROL_OVERFLOW (1U << 2) /* URS: only the end of a count is an update */
#define CONTROL_ONCE     (1U << 3)
#define UPDATE           (1U << 0) /* in interrupts, status and generate */

#define NOW   ((stm32_timer *)BOARD_TIM2)
#define ALARM ((stm32_timer *)BOARD_TIM5)

static clock_turns turns;

void chip_clock_start(void) {
    NOW->control = CONTROL_OVERFLOW;
    NOW->prescaler = 0U; /* BOARD_CLOCK_HZ as it is */
    NOW->reload = UINT32_MAX;
    NOW->generate = UPDATE;
    NOW->status = 0U;
    NOW->interrupts = UPDATE;
    NOW->control = CONTROL_OVERFLOW | CONTROL_ENABLE;
    ALARM->control = CONTROL_OVERFLOW | CONTROL_ONCE;
    ALARM->interrupts = UPDATE;
}

uint32_t chip_clock_now(void) {
    return NOW->count;
}

uint64_t chip_clock_ticks(void) {
    return clock_widen(&turns);
}

void chip_clock_alarm(uint32_t ticks) {
    ALARM->control = CONTROL_OVERFLOW | CONTROL_ONCE;
    ALARM->reload = ticks;
    ALARM->generate = UPDATE; /* from 0 on */
    ALARM->status = 0U;
    ALARM->control = CONTROL_OVERFLOW | CONTROL_ONCE | CONTROL_ENABLE;
}

void chip_clock_alarm_off(void) {
    ALARM->control = CONTROL_OVERFLOW | CONTROL_ONCE;
}

void chip_clock_interrupt(void) {
    ALARM->status = 0U;
    if ((NOW->status & UPDATE) != 0U) {
        NOW->status = 0U;
        (void)chip_clock_ticks();
    }
}
