/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_FIXED_POINT_H
#define FG_FIXED_POINT_H

/* Integer arithmetic that kernels share. Shifts of negative numbers to the right are arithmetic on
 * every supported compiler; shifts to the left go through unsigned. */

#include <stdint.h>

#include "fg_target.h"
#include "fleetgrad/fg_kernels.h"

#if FG_DSP
#include "dsp/fg_dsp.h"
#endif

/* a * b / 2^31 to nearest, ties up. One of the two must not be INT32_MIN. */
static inline int32_t fg_doubling_high_mul(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (1LL << 30)) >> 31);
}

/* The same for |a| < 2^30, which some processors compute at once. */
static inline int32_t fg_half_high_mul(int32_t a, int32_t b) {
#if FG_DSP
    return fg_high_mul(a * 2, b);
#else
    return fg_doubling_high_mul(a, b);
#endif
}

/* x / 2^exponent to nearest, ties away from zero; 1 <= exponent <= 31, INT32_MIN < x < INT32_MAX.
 * Halving last rounds ties up; for negative x, one less makes that away from zero. */
static inline int32_t fg_divide_by_power_of_two(int32_t x, int32_t exponent) {
    return (((x - (x < 0)) >> (exponent - 1)) + 1) >> 1;
}

/* x * value * 2^(shift - 31), rounded after the product and again after the shift to the right.
 * A shift to the left that leaves int32 wraps. */
static inline int32_t fg_scale_twice(int32_t x, int32_t value, int32_t shift) {
    if (shift < 0) {
        return fg_divide_by_power_of_two(fg_doubling_high_mul(x, value), -shift);
    }
    return fg_doubling_high_mul((int32_t)((uint32_t)x << shift), value);
}

/* |x| times a wide factor, not yet shifted. */
static inline uint64_t fg_wide_product(int32_t x, const fg_wide_scale *scale) {
    const uint64_t size = x < 0 ? 0U - (uint32_t)x : (uint32_t)x;
    return size * scale->high + ((size * scale->low) >> 32);
}

/* x times a wide factor that shifts by more than 32, rounded once, ties away from zero. */
static inline int32_t fg_scale_once_far(int32_t x, const fg_wide_scale *scale) {
    const uint32_t doubled = (uint32_t)(fg_wide_product(x, scale) >> 32) >> (scale->shift - 33);
    const int32_t magnitude = (int32_t)((doubled + 1) >> 1);
    return x < 0 ? -magnitude : magnitude;
}

/* The same for any shift; saturates at the ends of int32. */
static inline int32_t fg_scale_once(int32_t x, const fg_wide_scale *scale) {
    if (scale->shift > 32) {
        return fg_scale_once_far(x, scale);
    }
    const uint64_t rounded =
        (fg_wide_product(x, scale) + (1ULL << (scale->shift - 1))) >> scale->shift;
    const int32_t magnitude = rounded > INT32_MAX ? INT32_MAX : (int32_t)rounded;
    return x < 0 ? -magnitude : magnitude;
}

static inline int32_t fg_min(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static inline int32_t fg_max(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static inline int32_t fg_clamp(int32_t x, int32_t low, int32_t high) {
    return x < low ? low : x > high ? high : x;
}

static inline int8_t fg_to_output(int32_t x, const fg_output *output) {
    return (int8_t)(fg_clamp(x, output->low, output->high) + output->zero_point);
}

#endif
