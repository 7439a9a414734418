/* SPDX-License-Identifier: Apache-2.0 */
#include "../../kernels/mve/fg_mve.h"
#include "../learn.h"

#if FG_MVE

void fg_learn_biases(const fg_learning *learning, const int8_t *errors, uint32_t pixels,
                     uint32_t channels, int32_t *bias) {
    for (uint32_t channel = 0; channel < channels; channel += FG_WORD_LANES) {
        const uint32_t left = channels - channel;
        const int32_t lanes = left < FG_WORD_LANES ? (int32_t)left : FG_WORD_LANES;
        const int8_t *error = errors + channel;
        fg_words sums = fg_all_words(0);
        for (uint32_t pixel = 0; pixel < pixels; ++pixel) {
            sums = fg_add_words(sums, fg_load_first_as_words(error, lanes));
            error += channels;
        }
        int32_t total[FG_WORD_LANES];
        fg_store_words(total, sums);
        for (int32_t lane = 0; lane < lanes; ++lane) {
            const int32_t own = (int32_t)channel + lane;
            fg_learn_bias(learning, own, total[lane], &bias[own]);
        }
    }
}

#endif
