/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_gates.h"

#include "fg_fixed_point.h"

#define ONE_EIGHTH    (1 << 12)
#define EXP_EIGHTH    28918 /* exp(-1/8) in Q0.15 */
#define ONE_THIRD     10923
#define GUESS_AT_ZERO 23130    /* 48/17 in Q2.13 */
#define GUESS_SLOPE   (-15420) /* -32/17 in Q2.13 */
#define ONE_Q2_13     (1 << 13)
#define ONE_HALF      (1 << 14)
#define MOST_NEGATIVE (-32) /* exp() of less is nothing */

/* exp(-2^(i - 2)) in Q0.15 */
static const int16_t exp_factors[] = {25520, 19875, 12055, 4435, 600, 11, 0};
#define EXP_FACTORS ((int32_t)(sizeof exp_factors / sizeof exp_factors[0]))

/* a * b / 2^15 to nearest, ties up; saturates. */
static int32_t multiply(int32_t a, int32_t b) {
    return fg_min((a * b + (1 << 14)) >> 15, INT16_MAX);
}

static int32_t shift_left_saturating(int32_t x, int32_t bits) {
    return fg_clamp(x * (1 << bits), INT16_MIN, INT16_MAX);
}

/* exp(x) in Q0.15 of x <= 0: a polynomial on [-1/4, 0), then factors. */
static int32_t exp_on_negative(int32_t x, int32_t integer_bits) {
    const int32_t fraction = 15 - integer_bits;
    const int32_t quarter = 1 << (fraction - 2);
    if (x == 0) {
        return INT16_MAX;
    }
    if (integer_bits > 5 && x < MOST_NEGATIVE * (1 << fraction)) {
        return 0;
    }
    const int32_t rest = (x & (quarter - 1)) - quarter;
    const int32_t y = rest * (1 << integer_bits) + ONE_EIGHTH;
    const int32_t y2 = multiply(y, y);
    const int32_t y3 = multiply(y2, y);
    const int32_t y4 = multiply(y2, y2);
    const int32_t inner = multiply(fg_divide_by_power_of_two(y4, 2) + y3, ONE_THIRD) + y2;
    const int32_t series = y + fg_divide_by_power_of_two(inner, 1);
    int32_t result = fg_min(EXP_EIGHTH + multiply(series, EXP_EIGHTH), INT16_MAX);
    const int32_t quarters = (rest - x) >> (fraction - 2);
    for (int32_t bit = 0; bit < fg_min(integer_bits + 2, EXP_FACTORS); ++bit) {
        if (((quarters >> bit) & 1) != 0) {
            result = multiply(result, exp_factors[bit]);
        }
    }
    return result;
}

/* 2 / (1 + x) in Q2.13, x in Q0.15 within [0, 1]: Newton-Raphson. */
static int32_t reciprocal(int32_t x) {
    const int32_t half = (x + (1 << 15)) >> 1;
    int32_t value = GUESS_AT_ZERO + multiply(half, GUESS_SLOPE);
    for (int32_t round = 0; round < 3; ++round) {
        const int32_t error = ONE_Q2_13 - multiply(half, value);
        value += shift_left_saturating(multiply(value, error), 2);
    }
    return value;
}

int32_t fg_logistic16(int32_t x) {
    if (x == 0) {
        return ONE_HALF;
    }
    const int32_t positive =
        shift_left_saturating(reciprocal(exp_on_negative(fg_min(x, -x), 3)), 1);
    return x > 0 ? positive : INT16_MAX - positive;
}

int32_t fg_tanh16(int32_t x, int32_t integer_bits) {
    if (x == 0) {
        return 0;
    }
    /* exp(-2|x|): the same bits, read with one integer bit more. */
    const int32_t inverse = reciprocal(exp_on_negative(fg_min(x, -x), integer_bits + 1));
    const int32_t positive = shift_left_saturating(inverse - ONE_Q2_13, 2);
    return x > 0 ? positive : -positive;
}
