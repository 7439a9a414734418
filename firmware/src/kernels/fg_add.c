/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_fixed_point.h"

#define UNIT_BITS 20 /* fractional bits of an input while it is scaled */

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

void fg_add(const fg_add_params *params, const int8_t *first, const int8_t *second,
            int8_t *output) {
    const share one = share_of(&params->input_scale[0]);
    const share other = share_of(&params->input_scale[1]);
    const share both = share_of(&params->scale);
    const int32_t one_zero = params->input_zero[0] * (1 << UNIT_BITS);
    const int32_t other_zero = params->input_zero[1] * (1 << UNIT_BITS);
    const fg_output limits = params->output;
    const int8_t *const end = output + params->count;
    while (output != end) {
        const int32_t sum = take(*first++ * (1 << UNIT_BITS) - one_zero, &one) +
                            take(*second++ * (1 << UNIT_BITS) - other_zero, &other);
        *output++ = fg_to_output(take(sum, &both), &limits);
    }
}
