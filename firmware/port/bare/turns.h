/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TURNS_H
#define FG_TURNS_H

/* A clock of 64 bits made of one of 32: what it showed last, and how often it has turned over. */

#include <stdint.h>

#include "chip.h"

typedef struct clock_turns {
    uint32_t last;
    uint32_t turns;
} clock_turns;

/* To be called at least once in every turn: an interrupt does when nobody else does. */
static inline uint64_t clock_widen(clock_turns *clock) {
    const uint32_t before = chip_core_mask();
    const uint32_t now = chip_clock_now();
    if (now < clock->last) {
        clock->turns++;
    }
    clock->last = now;
    const uint64_t ticks = ((uint64_t)clock->turns << 32) | now;
    chip_core_unmask(before);
    return ticks;
}

#endif
