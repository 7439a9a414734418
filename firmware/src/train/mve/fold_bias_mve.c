/* SPDX-License-Identifier: Apache-2.0 */
#include "../../kernels/fg_fixed_point.h"
#include "fleetgrad/fg_backward.h"
#include "train_mve.h"

#if FG_MVE

/* Sums of the weights of up to four neighbouring channels. */
static FG_INLINE fg_words sum_lanes(const int8_t *weights, int32_t lanes, int32_t taps,
                                    int32_t step) {
    fg_words sums = fg_all_words(0);
    for (; taps > 0; --taps) {
        sums = fg_add_words(sums, fg_load_first_as_words(weights, lanes));
        weights += step;
    }
    return sums;
}

void fg_fold_bias(const int32_t *bias, const int8_t *weights, int32_t zero, uint32_t channels,
                  uint32_t taps, uint32_t channel_step, uint32_t tap_step, int32_t *folded) {
    if (tap_step == 1U) {
        for (uint32_t o = 0; o < channels; o++) {
            const int32_t sum = fg_add_bytes(0, weights + o * channel_step, (int32_t)taps);
            folded[o] = (int32_t)((uint32_t)bias[o] - (uint32_t)(zero * sum));
        }
        return;
    }
    /* Weights of a depthwise convolution: channels are neighbours. */
    for (uint32_t o = 0; o < channels; o += FG_WORD_LANES) {
        const int32_t lanes = fg_min((int32_t)(channels - o), FG_WORD_LANES);
        const fg_words sums = sum_lanes(weights + o, lanes, (int32_t)taps, (int32_t)tap_step);
        const fg_words less = fg_multiply_words(sums, fg_all_words(zero));
        fg_store_first_words(folded + o,
                             fg_subtract_words(fg_load_first_words(bias + o, lanes), less), lanes);
    }
}

#endif
