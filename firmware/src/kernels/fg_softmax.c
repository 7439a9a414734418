/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_fixed_point.h"

/* The reference's formats: Q12.19 for the sum, Q2.29 while its reciprocal is computed. */
#define SUM_INTEGER_BITS 12
#define ONE_Q2_29        (1 << 29)
#define GUESS_AT_ZERO    1515870810    /* 48/17 in Q2.29 */
#define GUESS_SLOPE      (-1010580540) /* -32/17 in Q2.29 */
#define OUTPUT_BITS      8

static int32_t shift_left_saturating(int32_t x, int32_t bits) {
    const int64_t shifted = (int64_t)x * (1LL << bits);
    return shifted > INT32_MAX ? INT32_MAX : shifted < INT32_MIN ? INT32_MIN : (int32_t)shifted;
}

/* 1 / (1 + x) in Q0.31 where `half` is (1 + x) / 2 in Q0.31, 0 <= x < 1: Newton-Raphson. */
static int32_t reciprocal(int32_t half) {
    int32_t value = GUESS_AT_ZERO + fg_doubling_high_mul(half, GUESS_SLOPE);
    for (int32_t round = 0; round < 3; ++round) {
        const int32_t error = ONE_Q2_29 - fg_doubling_high_mul(half, value);
        value += shift_left_saturating(fg_doubling_high_mul(value, error), 2);
    }
    return shift_left_saturating(value, 1);
}

/* exp(input - most), in Q0.31. */
static int32_t exponential(const fg_softmax_params *params, int32_t input, int32_t most) {
    const int32_t difference = most - input;
    return difference < params->differences ? params->exponential[difference] : 0;
}

static void softmax_row(const fg_softmax_params *params, const int8_t *input, int8_t *output) {
    int32_t most = INT8_MIN;
    for (int32_t index = 0; index < params->classes; ++index) {
        most = input[index] > most ? input[index] : most;
    }
    uint32_t sum = 0;
    for (int32_t index = 0; index < params->classes; ++index) {
        sum += (uint32_t)fg_divide_by_power_of_two(exponential(params, input[index], most),
                                                   SUM_INTEGER_BITS);
    }
    int32_t headroom = 0;
    for (; sum < 1U << 31; sum <<= 1) {
        ++headroom;
    }
    const int32_t scale = reciprocal((int32_t)(sum >> 1));
    const int32_t shift = SUM_INTEGER_BITS - headroom + 31 - OUTPUT_BITS;
    for (int32_t index = 0; index < params->classes; ++index) {
        const int32_t share = fg_doubling_high_mul(scale, exponential(params, input[index], most));
        const int32_t steps = shift > 31 ? 0 : fg_divide_by_power_of_two(share, shift);
        output[index] = (int8_t)fg_clamp(steps + INT8_MIN, INT8_MIN, INT8_MAX);
    }
}

void fg_softmax(const fg_softmax_params *params, const int8_t *input, int8_t *output) {
    for (int32_t row = 0; row < params->rows; ++row) {
        softmax_row(params, input, output);
        input += params->classes;
        output += params->classes;
    }
}
