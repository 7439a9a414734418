/* SPDX-License-Identifier: Apache-2.0 */
#include "../kernels/fg_target.h"
#include "fleetgrad/fg_backward.h"

#if FG_DSP
#include "../kernels/dsp/fg_dsp.h"
#endif

static int32_t sum_of(const int8_t *weights, uint32_t count, uint32_t step) {
    int32_t sum = 0;
#if FG_DSP
    if (step == 1U) {
        const uint32_t ones = 0x00010001U;
        uint32_t total = 0;
        for (; count >= 4U; count -= 4U) {
            const uint32_t quad = fg_load_quad(weights);
            total = fg_dot_pair(fg_even_bytes(quad), ones, total);
            total = fg_dot_pair(fg_odd_bytes(quad), ones, total);
            weights += 4;
        }
        sum = (int32_t)total;
    }
#endif
    for (; count > 0U; count--) {
        sum += *weights;
        weights += step;
    }
    return sum;
}

void fg_fold_bias(const int32_t *bias, const int8_t *weights, int32_t zero, uint32_t channels,
                  uint32_t taps, uint32_t channel_step, uint32_t tap_step, int32_t *folded) {
    for (uint32_t o = 0; o < channels; o++) {
        const int32_t sum = sum_of(weights + o * channel_step, taps, tap_step);
        folded[o] = (int32_t)((uint32_t)bias[o] - (uint32_t)(zero * sum));
    }
}

void fg_add_bias(const int32_t *bias, const int32_t *constant, uint32_t channels, int32_t *folded) {
    for (uint32_t o = 0; o < channels; o++) {
        folded[o] = (int32_t)((uint32_t)bias[o] + (uint32_t)constant[o]);
    }
}
