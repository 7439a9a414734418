/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_SCALE_MVE_H
#define FG_SCALE_MVE_H

/* fg_scale_twice() in four lanes. VQRDMULH rounds as fg_doubling_high_mul() does, VRSHL ties up;
 * one less for negative numbers makes that away from zero. */

#include "../fg_fixed_point.h"
#include "fg_mve.h"

/* What is known of a layer's scales and limits. */
typedef enum fg_finish {
    FG_FINISH_POSITIVE, /* every shift is negative, negative outputs are clamped to 0 */
    FG_FINISH_QUICK,    /* every shift is negative */
    FG_FINISH_ANY
} fg_finish;

/* Clamping to 0 or more makes ties of negative numbers irrelevant: none of them rounds to more. */
static FG_INLINE fg_finish fg_finish_of(const fg_channel_scale *scale, const fg_output *output,
                                        int32_t channels) {
    if (!fg_all_negative(scale->shift, channels)) {
        return FG_FINISH_ANY;
    }
    return output->low >= 0 ? FG_FINISH_POSITIVE : FG_FINISH_QUICK;
}

/* Where outputs end, the zero point included. */
typedef struct fg_word_limits {
    int32_t zero;
    fg_words low, high;
} fg_word_limits;

static FG_INLINE fg_word_limits fg_word_limits_of(const fg_output *output) {
    const fg_word_limits limits = {output->zero_point,
                                   fg_all_words(output->low + output->zero_point),
                                   fg_all_words(output->high + output->zero_point)};
    return limits;
}

static FG_INLINE fg_words fg_clamp_words(fg_words scaled, const fg_word_limits *limits) {
    const fg_words moved = fg_add_word(scaled, limits->zero);
    return fg_min_words(fg_max_words(moved, limits->low), limits->high);
}

/* Sums of one channel. */
static FG_INLINE fg_words fg_scale_by_one(fg_words sums, int32_t value, int32_t shift,
                                          fg_finish finish) {
    if (finish == FG_FINISH_ANY && shift >= 0) {
        return fg_high_mul_word(fg_shift_word(sums, shift), value);
    }
    fg_words product = fg_high_mul_word(sums, value);
    if (finish != FG_FINISH_POSITIVE) {
        product = fg_add_words(product, fg_negative_words(product));
    }
    return fg_shift_word(product, shift);
}

/* Sums of four channels. */
static FG_INLINE fg_words fg_scale_each(fg_words sums, fg_words value, fg_words shift,
                                        fg_finish finish) {
    if (finish != FG_FINISH_ANY) {
        fg_words product = fg_high_mul_words(sums, value);
        if (finish != FG_FINISH_POSITIVE) {
            product = fg_add_words(product, fg_negative_words(product));
        }
        return fg_shift_words(product, shift);
    }
    const fg_words zeros = fg_all_words(0);
    const fg_words right = fg_min_words(shift, zeros);
    const fg_words left = fg_shift_words(sums, fg_max_words(shift, zeros));
    const fg_words product = fg_high_mul_words(left, value);
    const fg_words away = fg_add_words(product, fg_both_negative(product, right));
    return fg_shift_words(away, right);
}

#endif
