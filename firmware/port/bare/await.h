/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_AWAIT_H
#define FG_AWAIT_H

/* Waiting for a chip's own circuits, never for ever. */

#include <stdint.h>

#include "chip.h"

/* Rounds of a few cycles each: many times what data sheets allow oscillators and regulators. */
#define AWAIT_ROUNDS 1000000U

/* Until the masked bits of a register are as wanted. A chip whose clock does not start can only try
 * again: it restarts. */
static inline void chip_await(const volatile uint32_t *word, uint32_t mask, uint32_t wanted) {
    for (uint32_t i = 0U; i < AWAIT_ROUNDS; i++) {
        if ((*word & mask) == wanted) {
            return;
        }
    }
    chip_core_restart();
}

#endif
