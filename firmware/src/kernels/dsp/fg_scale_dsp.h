/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_SCALE_DSP_H
#define FG_SCALE_DSP_H

/* fg_scale_twice() in four instructions, where fg_channel_scale.quick promises what they need. */

#include "../fg_fixed_point.h"
#include "fg_dsp.h"

/* One channel's factor value * 2^(shift - 31); `step` is 2^(32 + shift): a multiplication by it
 * that keeps the upper word divides by 2^-shift. */
typedef struct fg_factor {
    int32_t value, step;
} fg_factor;

static FG_INLINE fg_factor fg_factor_of(int32_t value, int32_t shift) {
    const fg_factor factor = {value, (int32_t)(1U << (32 + shift))};
    return factor;
}

/* zero + sum * factor, for int8 outputs. Doubling the sum makes the first multiplication round
 * where fg_doubling_high_mul() does; what saturates there is beyond every output. One less for
 * negative numbers makes the second one round ties away from zero, as fg_divide_by_power_of_two()
 * does. */
static FG_INLINE int32_t fg_scale_quick(uint32_t sum, fg_factor factor, int32_t zero) {
    const int32_t product = fg_high_mul(fg_double(sum), factor.value);
    return fg_high_mul_add(product - (product < 0), factor.step, zero);
}

/* Where outputs end. */
typedef struct fg_limits {
    int32_t zero;
    int32_t low, high; /* the zero point included */
    bool whole;        /* saturation to int8 is all the clamping there is */
} fg_limits;

static FG_INLINE fg_limits fg_limits_of(const fg_output *output) {
    const int32_t low = output->low + output->zero_point;
    const int32_t high = output->high + output->zero_point;
    const fg_limits limits = {output->zero_point, low, high, low == INT8_MIN && high == INT8_MAX};
    return limits;
}

/* From the sum to the output; `whole` says what is known of the limits. */
static FG_INLINE int8_t fg_output_of(uint32_t sum, fg_factor factor, const fg_limits *limits,
                                     bool whole) {
    const int32_t scaled = fg_scale_quick(sum, factor, limits->zero);
    return (int8_t)(whole ? fg_to_int8(scaled) : fg_clamp(scaled, limits->low, limits->high));
}

#endif
