/* SPDX-License-Identifier: Apache-2.0 */
#include "../../kernels/fg_fixed_point.h"
#include "../learn.h"
#include "../masters.h"
#include "fleetgrad/fg_rng.h"
#include "train_mve.h"

#if FG_MVE

#define LANES FG_WORD_LANES

/* Mantissas and exponents of four channels. */
static FG_INLINE fg_word_pair scales_of(const fg_rates *rates, int32_t channel) {
    if (rates->step == 0) {
        const fg_word_pair same = {fg_all_words(rates->bias->mantissa),
                                   fg_all_words(rates->bias->exponent)};
        return same;
    }
    return fg_load_word_pair((const int32_t *)(const void *)(rates->bias + channel));
}

/* fg_learn_bias() of four neighbours, unless some sum is too large for this: multiplications keep
 * the upper word of sum * 2^left * mantissa, rounded once when it is shifted by `right`. */
static FG_NOINLINE bool learn_four(const fg_learning *learning, int32_t channel, fg_words sums,
                                   int32_t *bias) {
    const fg_step *const step = learning->step;
    const fg_word_pair scale = scales_of(learning->rates, channel);
    const int32_t exponent =
        30 - FG_BIAS_BITS + learning->rates->growth - step->lr_exponent - learning->exponent;
    /* What there is to shift the 64-bit product by, less 32. */
    const fg_words shift = fg_subtract_words(fg_all_words(exponent - 32), scale.odd);
    const fg_words left = fg_max_words(fg_subtract_words(fg_all_words(1), shift), fg_all_words(0));
    const fg_words right = fg_min_word(fg_max_words(shift, fg_all_words(1)), 31);
    const fg_words too_far = fg_negative_words(fg_subtract_words(fg_all_words(31), left));
    const fg_words some = fg_min_word(left, 31);
    const fg_words none = fg_all_words(0);
    const fg_words moved = fg_shift_words(sums, some);
    const fg_words back = fg_shift_words(moved, fg_subtract_words(none, some));
    if (fg_or_across(fg_or_words(fg_xor_words(back, sums), too_far)) != 0U) {
        return false;
    }
    const fg_words mantissa =
        fg_upper_mul_word(fg_shift_word(scale.even, 1), step->lr_mantissa * 65536);
    const fg_words change =
        fg_shift_words(fg_upper_mul_words(moved, mantissa), fg_subtract_words(none, right));
    const fg_words output =
        fg_add_word(fg_word_steps(1), (int32_t)(learning->layer_key + (uint32_t)channel));
    const fg_words key = fg_mix_words(output, FG_MIX_FIRST, FG_MIX_SECOND);
    const fg_words word = fg_add_words(key, fg_all_words((int32_t)FG_BIAS_WORD));
    const fg_words noise =
        fg_and_words(fg_mix_words(word, FG_MIX_FIRST, FG_MIX_SECOND), fg_all_words(0xFF));
    const fg_words all = fg_add_words(change, fg_keep_between(noise, change, 0, 0));
    const fg_words most = fg_all_words(FG_BIAS_LIMIT);
    const fg_words least = fg_all_words(-FG_BIAS_LIMIT);
    const fg_words before = fg_min_words(fg_max_words(fg_load_words(bias), least), most);
    const fg_words after = fg_subtract_words(before, fg_shift_right_words(all, FG_BIAS_BITS));
    fg_store_words(bias, fg_min_words(fg_max_words(after, least), most));
    return true;
}

/* Sums of up to four channels' errors. */
static FG_NOINLINE fg_words sum_lanes(const int8_t *errors, int32_t pixels, int32_t channels,
                                      int32_t lanes) {
    fg_words sums = fg_all_words(0);
    if (lanes == LANES) {
        for (; pixels > 0; --pixels) {
            sums = fg_add_words(sums, fg_load_as_words(errors));
            errors += channels;
        }
    } else {
        for (; pixels > 0; --pixels) {
            sums = fg_add_words(sums, fg_load_first_as_words(errors, lanes));
            errors += channels;
        }
    }
    return sums;
}

void fg_learn_biases(const fg_learning *learning, const int8_t *errors, uint32_t pixels,
                     uint32_t channels, int32_t *bias) {
    const int32_t all = (int32_t)channels;
    for (int32_t channel = 0; channel < all; channel += LANES) {
        const int32_t lanes = fg_min(all - channel, LANES);
        const fg_words sums = sum_lanes(errors + channel, (int32_t)pixels, all, lanes);
        if (lanes == LANES && learn_four(learning, channel, sums, bias + channel)) {
            continue;
        }
        int32_t total[LANES];
        fg_store_words(total, sums);
        for (int32_t lane = 0; lane < lanes; ++lane) {
            fg_learn_bias(learning, channel + lane, total[lane], &bias[channel + lane]);
        }
    }
}

#endif
