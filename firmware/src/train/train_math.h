/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_MATH_H
#define FG_TRAIN_MATH_H

/* Integer arithmetic that the training kernels share; private to firmware/src/train. */

#include <stdint.h>

#include "../kernels/fg_target.h"
#include "fleetgrad/fg_train.h"

#if defined(__GNUC__)
#define FG_UNLIKELY(condition) __builtin_expect((condition), 0)
/* The compiler forgets what it knows about the variable: a constant stays in its register instead
 * of being made anew, and rare code stays behind a branch instead of being predicated. */
#define FG_OPAQUE(variable) __asm__("" : "+r"(variable))
#else
#define FG_UNLIKELY(condition) (condition)
#define FG_OPAQUE(variable)    ((void)0)
#endif

// cppcheck-suppress shiftNegativeLHS ; this is what is being asserted
_Static_assert((-3 >> 1) == -2, "right shifts of negative numbers must round down");

static inline int32_t fg_clamp32(int32_t value, int32_t limit) {
    return (value > limit) ? limit : ((value < -limit) ? -limit : value);
}

static inline int64_t fg_clamp64(int64_t value, int64_t limit) {
    return (value > limit) ? limit : ((value < -limit) ? -limit : value);
}

/* value / 2^shift to nearest, ties upwards, within +-limit. Any shift: a negative one multiplies,
 * and saturates at the limit instead of overflowing. |value| < 2^61, 0 < limit < 2^61. */
static inline int64_t fg_shift_round(int64_t value, int32_t shift, int64_t limit) {
    if (shift > 61) {
        return 0;
    }
    if (shift > 0) {
        const int64_t half = (int64_t)(UINT64_C(1) << ((uint32_t)shift - 1U));
        return fg_clamp64((value + half) >> shift, limit);
    }
    if (value == 0) {
        return 0;
    }
    const int64_t most = (shift < -61) ? 0 : (limit >> -shift);
    if (value > most || value < -most) {
        return (value < 0) ? -limit : limit;
    }
    return (int64_t)((uint64_t)value << -shift);
}

#endif
