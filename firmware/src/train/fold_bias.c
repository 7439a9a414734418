/* SPDX-License-Identifier: Apache-2.0 */
#include "../kernels/fg_target.h"
#include "fleetgrad/fg_backward.h"

#if !FG_MVE

#if FG_DSP
#include "../kernels/dsp/fg_dsp.h"
#endif

#if FG_DSP

/* Sums of that many weights fit the halves of a word, four at a time. */
#define MOST_QUADS 256U

static int32_t sum_of_quads(const int8_t *weights, uint32_t quads) {
    int32_t sum = 0;
    while (quads != 0U) {
        const uint32_t now = quads < MOST_QUADS ? quads : MOST_QUADS;
        const int8_t *const end = weights + 4U * now;
        uint32_t even = 0;
        uint32_t odd = 0;
        for (; weights != end; weights += 4) {
            const uint32_t quad = fg_load_quad(weights);
            even = fg_add_even_bytes(even, quad);
            odd = fg_add_odd_bytes(odd, quad);
        }
        sum += (int32_t)fg_dot_pair(even, 0x00010001U, fg_dot_pair(odd, 0x00010001U, 0U));
        quads -= now;
    }
    return sum;
}

#endif

static int32_t sum_of(const int8_t *weights, uint32_t count, uint32_t step) {
    int32_t sum = 0;
#if FG_DSP
    if (step == 1U) {
        sum = sum_of_quads(weights, count / 4U);
        weights += count & ~3U;
        count &= 3U;
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

#endif

void fg_add_bias(const int32_t *bias, const int32_t *constant, uint32_t channels, int32_t *folded) {
    for (uint32_t o = 0; o < channels; o++) {
        folded[o] = (int32_t)((uint32_t)bias[o] + (uint32_t)constant[o]);
    }
}
