/* SPDX-License-Identifier: Apache-2.0 */
#include "fleetgrad/fg_backward.h"

#include "../kernels/fg_target.h"

#if !FG_MVE

void fg_fold_bias(const int32_t *bias, const int8_t *weights, int32_t zero, uint32_t channels,
                  uint32_t taps, uint32_t channel_step, uint32_t tap_step, int32_t *folded) {
    for (uint32_t o = 0; o < channels; o++) {
        const int8_t *weight = weights + o * channel_step;
        int32_t sum = 0;
        for (uint32_t i = 0; i < taps; i++) {
            sum += *weight;
            weight += tap_step;
        }
        folded[o] = (int32_t)((uint32_t)bias[o] - (uint32_t)(zero * sum));
    }
}

#endif

void fg_add_bias(const int32_t *bias, const int32_t *constant, uint32_t channels, int32_t *folded) {
    for (uint32_t o = 0; o < channels; o++) {
        folded[o] = (int32_t)((uint32_t)bias[o] + (uint32_t)constant[o]);
    }
}
