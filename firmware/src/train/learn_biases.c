/* SPDX-License-Identifier: Apache-2.0 */
#include "../kernels/fg_target.h"
#include "learn.h"

#if !FG_DSP && !FG_MVE

void fg_learn_biases(const fg_learning *learning, const int8_t *errors, uint32_t pixels,
                     uint32_t channels, int32_t *bias) {
    for (uint32_t channel = 0; channel < channels; channel++) {
        int32_t sum = 0;
        for (uint32_t pixel = 0; pixel < pixels; pixel++) {
            sum += errors[pixel * channels + channel];
        }
        fg_learn_bias(learning, (int32_t)channel, sum, &bias[channel]);
    }
}

#endif
