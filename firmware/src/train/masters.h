/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_MASTERS_H
#define FG_TRAIN_MASTERS_H

/* int16 masters and the int8 weights they stand for; private to firmware/src/train. */

#include <stdint.h>

#include "fleetgrad/fg_train.h"

#include "train_math.h"

/* Word of an output's random numbers that rounds its bias; weights use words below 2^15. */
#define FG_BIAS_WORD   UINT32_C(0x80000000)
#define FG_BIAS_BITS   8
#define FG_WEIGHT_BITS 16
/* Sums of clamped products, noise included, fit 32 bits. */
#define FG_CHANGE_LIMIT (INT32_MAX - 0x1FFFF)

static FG_INLINE int8_t fg_rounded_master(int32_t master) {
    return (int8_t)((master + 128) >> 8);
}

/* Subtracts a change given in 1/65536 of a master's unit, rounding noise included. */
static FG_INLINE void fg_change_weight(int16_t *restrict master, int8_t *restrict shadow,
                                       int32_t change) {
    int32_t moved = *master - (change >> FG_WEIGHT_BITS);
    if (FG_UNLIKELY((uint32_t)(moved + FG_MASTER_LIMIT) > 2U * FG_MASTER_LIMIT)) {
        FG_OPAQUE(moved);
        moved = (moved < 0) ? -FG_MASTER_LIMIT : FG_MASTER_LIMIT;
        FG_OPAQUE(moved);
    }
    *master = (int16_t)moved;
    *shadow = fg_rounded_master(moved);
}

#endif
