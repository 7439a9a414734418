/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_fixed_point.h"
#include "fg_target.h"

#if FG_MVE
#include "mve/fg_add_mve.h"
#endif

#define UNIT (1 << 20) /* fractional steps of an input while it is scaled */

static int32_t row_at(const int32_t step[3], int32_t outer, int32_t middle) {
    return outer * step[0] + middle * step[1];
}

#if !FG_MVE

#if FG_DSP

/* A scale that never shifts to the left, as two multiplications that keep the upper word. */
typedef struct share {
    int32_t value, step; /* step: 2^(30 + shift), or 0 where nothing is left */
} share;

static share share_of(const fg_tensor_scale *scale) {
    const share made = {scale->value,
                        scale->shift < -30 ? 0 : (int32_t)(1U << (30 + scale->shift))};
    return made;
}

/* fg_scale_twice() without a branch; |x| < 2^29. A quarter less makes ties of negative numbers
 * round down, and changes nothing else. */
static FG_INLINE int32_t take(int32_t x, const share *of) {
    const int32_t product = fg_half_high_mul(x, of->value) * 4;
    return fg_high_mul(product - (product < 0), of->step);
}

#else

/* A scale that never shifts to the left: a product, divided by 2^divide where that rounds at all.
 */
typedef struct share {
    int32_t value, divide;
    int32_t negative; /* 1: ties of negative numbers round down */
} share;

static share share_of(const fg_tensor_scale *scale) {
    const share made = {scale->value, -scale->shift, scale->shift < 0};
    return made;
}

/* fg_scale_twice() without a branch; |x| < 2^30. */
static FG_INLINE int32_t take(int32_t x, const share *of) {
    const int32_t product = fg_half_high_mul(x, of->value);
    const int32_t doubled = (product - ((product < 0) & of->negative)) * 2;
    return ((doubled >> of->divide) + 1) >> 1;
}

#endif

/* The inputs' ways to the sum, and the sum's way to the output. */
typedef struct addition {
    share first, second, sum;
} addition;

static FG_NOINLINE void fg_add_row(const fg_add_params *params, const int8_t *first,
                                   const int8_t *second, int8_t *output) {
    const addition of = {share_of(&params->input_scale[0]), share_of(&params->input_scale[1]),
                         share_of(&params->scale)};
    const fg_output limits = params->output;
    const int32_t sign = params->sign;
    const int32_t first_zero = params->input_zero[0] * UNIT;
    const int32_t second_zero = params->input_zero[1] * UNIT;
    const int32_t first_step = params->shape.step[0][2];
    const int32_t second_step = params->shape.step[1][2];
    const int8_t *const end = output + params->shape.size[2];
    while (output != end) {
        const int32_t sum = take(*first * UNIT - first_zero, &of.first) +
                            sign * take(*second * UNIT - second_zero, &of.second);
        *output++ = fg_to_output(take(sum, &of.sum), &limits);
        first += first_step;
        second += second_step;
    }
}

#endif

void fg_add(const fg_add_params *params, const int8_t *first, const int8_t *second,
            int8_t *output) {
    const fg_broadcast *shape = &params->shape;
    for (int32_t outer = 0; outer < shape->size[0]; ++outer) {
        for (int32_t middle = 0; middle < shape->size[1]; ++middle) {
            fg_add_row(params, first + row_at(shape->step[0], outer, middle),
                       second + row_at(shape->step[1], outer, middle), output);
            output += shape->size[2];
        }
    }
}

static void multiply_row(const fg_mul_params *params, const int8_t *first, const int8_t *second,
                         int8_t *output) {
    const fg_broadcast *shape = &params->shape;
    for (int32_t index = 0; index < shape->size[2]; ++index) {
        const int32_t product =
            (*first - params->input_zero[0]) * (*second - params->input_zero[1]);
        const int32_t scaled = fg_scale_twice(product, params->scale.value, params->scale.shift);
        *output++ = fg_to_output(scaled, &params->output);
        first += shape->step[0][2];
        second += shape->step[1][2];
    }
}

void fg_mul(const fg_mul_params *params, const int8_t *first, const int8_t *second,
            int8_t *output) {
    const fg_broadcast *shape = &params->shape;
    for (int32_t outer = 0; outer < shape->size[0]; ++outer) {
        for (int32_t middle = 0; middle < shape->size[1]; ++middle) {
            multiply_row(params, first + row_at(shape->step[0], outer, middle),
                         second + row_at(shape->step[1], outer, middle), output);
            output += shape->size[2];
        }
    }
}
