/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_LEARN_MVE_H
#define FG_TRAIN_LEARN_MVE_H

/* Eight weights at a time, without 64-bit arithmetic. */

#include "../learn.h"
#include "../masters.h"
#include "fleetgrad/fg_rng.h"
#include "train_mve.h"

/* The pace as a multiplication that keeps the upper word: sum * 2^left * mantissa / 2^32, rounded
 * once when it is shifted by `right`; what is below that word changes no result. */
typedef struct fg_vector_pace {
    int32_t mantissa, left, right;
    uint32_t limit; /* smaller sums than this stay exact */
    uint32_t key;   /* of the output channel's random numbers */
} fg_vector_pace;

static inline fg_vector_pace fg_vector_pace_of(const fg_learning *learning, int32_t channel) {
    const fg_scale *const scale = &learning->rates->weight[channel * learning->rates->step];
    const fg_pace rate = fg_pace_of(learning, scale, learning->rates->growth, FG_WEIGHT_BITS);
    const int32_t left = rate.shift < 33 ? 33 - rate.shift : 0;
    const int32_t right = rate.shift < 33 ? 1 : rate.shift - 32;
    return (fg_vector_pace){
        .mantissa = (int32_t)rate.mantissa,
        .left = left,
        .right = right < 31 ? right : 31,
        .key = fg_row_key(learning->layer_key, (uint32_t)channel),
        .limit = left > 31 ? 0U : UINT32_C(0x80000000) >> left,
    };
}

/* fg_learn_weights() of the eight weights from `first` on, an even one, unless some sum is too
 * large for this. */
static FG_INLINE bool fg_learn_eight(const fg_vector_pace *pace, int32_t first, const int32_t *sums,
                                     int16_t *masters, int8_t *shadow) {
    const fg_word_pair pairs = fg_load_word_pair(sums);
    if (fg_largest_size(pairs.even, pairs.odd) >= pace->limit) {
        return false;
    }
    const fg_words even = fg_shift_word(
        fg_upper_mul_word(fg_shift_word(pairs.even, pace->left), pace->mantissa), -pace->right);
    const fg_words odd = fg_shift_word(
        fg_upper_mul_word(fg_shift_word(pairs.odd, pace->left), pace->mantissa), -pace->right);
    const fg_words key = fg_add_word(fg_word_steps(1), (int32_t)(pace->key + (uint32_t)first / 2U));
    const fg_words noise = fg_mix_words(key, FG_MIX_FIRST, FG_MIX_SECOND);
    const fg_word_pair change = {fg_change_of(even, fg_lower_sizes(noise)),
                                 fg_change_of(odd, fg_upper_sizes(noise))};
    const fg_halves moved =
        fg_subtract_pairs_from(fg_load_halves(masters), change, FG_MASTER_LIMIT);
    fg_store_halves(masters, moved);
    fg_store_rounded_upper_bytes(shadow, moved);
    return true;
}

#endif
