/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_add_mve.h"

#include "../fg_target.h"
#include "fg_scale_mve.h"

#if FG_MVE

/* A scale that never shifts to the left. */
typedef struct share {
    int32_t value, shift;
    fg_words negative; /* the shift, to tell where ties of negative numbers round down */
} share;

static FG_INLINE share share_of(const fg_tensor_scale *scale) {
    const share made = {scale->value, scale->shift, fg_all_words(scale->shift)};
    return made;
}

static FG_INLINE fg_words take(fg_words x, const share *of) {
    const fg_words product = fg_high_mul_word(x, of->value);
    const fg_words away = fg_add_words(product, fg_both_negative(product, of->negative));
    return fg_shift_word(away, of->shift);
}

/* The sums of the first `count` of four elements. */
static FG_INLINE void add_four(const fg_add_params *params, const share scales[3],
                               const fg_word_limits *limits, fg_words first, fg_words second,
                               int32_t count, int8_t *output) {
    const fg_words centred = fg_add_word(first, -params->input_zero[0]);
    const fg_words other = fg_add_word(second, -params->input_zero[1]);
    const fg_words mine = take(fg_shift_left_words(centred, 20), &scales[0]);
    const fg_words yours = take(fg_shift_left_words(other, 20), &scales[1]);
    const fg_words sum =
        params->sign < 0 ? fg_subtract_words(mine, yours) : fg_add_words(mine, yours);
    const fg_words made = fg_clamp_words(take(sum, &scales[2]), limits);
    if (count == FG_WORD_LANES) {
        fg_store_as_bytes(output, made);
    } else {
        fg_store_first_as_bytes(output, made, count);
    }
}

/* Both inputs element by element. */
static FG_NOINLINE void add_all(const fg_add_params *params, const int8_t *first,
                                const int8_t *second, int32_t count, int8_t *output) {
    const share scales[3] = {share_of(&params->input_scale[0]), share_of(&params->input_scale[1]),
                             share_of(&params->scale)};
    const fg_word_limits limits = fg_word_limits_of(&params->output);
    for (; count >= FG_WORD_LANES; count -= FG_WORD_LANES) {
        add_four(params, scales, &limits, fg_load_as_words(first), fg_load_as_words(second),
                 FG_WORD_LANES, output);
        first += FG_WORD_LANES;
        second += FG_WORD_LANES;
        output += FG_WORD_LANES;
    }
    if (count > 0) {
        add_four(params, scales, &limits, fg_load_first_as_words(first, count),
                 fg_load_first_as_words(second, count), count, output);
    }
}

static FG_INLINE fg_words load_or_repeat(const int8_t *from, int32_t step, int32_t count) {
    return step == 0 ? fg_all_words(*from) : fg_load_first_as_words(from, count);
}

/* One of the inputs, or both, the same everywhere. */
static FG_NOINLINE void add_repeated(const fg_add_params *params, const int8_t *first,
                                     const int8_t *second, int32_t count, int8_t *output) {
    const share scales[3] = {share_of(&params->input_scale[0]), share_of(&params->input_scale[1]),
                             share_of(&params->scale)};
    const fg_word_limits limits = fg_word_limits_of(&params->output);
    const int32_t first_step = params->shape.step[0][2];
    const int32_t second_step = params->shape.step[1][2];
    for (; count > 0; count -= FG_WORD_LANES) {
        const int32_t some = fg_min(count, FG_WORD_LANES);
        add_four(params, scales, &limits, load_or_repeat(first, first_step, some),
                 load_or_repeat(second, second_step, some), some, output);
        first += FG_WORD_LANES * first_step;
        second += FG_WORD_LANES * second_step;
        output += FG_WORD_LANES;
    }
}

void fg_add_row(const fg_add_params *params, const int8_t *first, const int8_t *second,
                int8_t *output) {
    const int32_t count = params->shape.size[2];
    if (params->shape.step[0][2] == 1 && params->shape.step[1][2] == 1) {
        add_all(params, first, second, count, output);
    } else {
        add_repeated(params, first, second, count, output);
    }
}

#endif
