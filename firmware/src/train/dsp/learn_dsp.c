/* SPDX-License-Identifier: Apache-2.0 */
#include "learn_dsp.h"

#include "../../kernels/fg_target.h"

#if FG_DSP

static uint32_t largest_of(const int32_t *sums, int32_t count) {
    uint32_t all = 0;
    for (int32_t i = 0; i < count; ++i) {
        all |= (uint32_t)(sums[i] ^ (sums[i] >> 31));
    }
    return all;
}

bool fg_learn_quickly(const fg_learning *learning, int32_t channel, int32_t first, int32_t count,
                      const int32_t *sums, int16_t *masters, int8_t *shadow) {
    const fg_scale *const scale = &learning->rates->weight[channel * learning->rates->step];
    fg_quick_pace pace;
    if (!fg_quick_pace_of(fg_pace_of(learning, scale, learning->rates->growth, FG_WEIGHT_BITS),
                          largest_of(sums, count), &pace)) {
        return false;
    }
    const uint32_t key = fg_row_key(learning->layer_key, (uint32_t)channel);
    uint32_t word = key + (uint32_t)first / 2U;
    uint32_t mix_first = FG_MIX_FIRST;
    uint32_t mix_second = FG_MIX_SECOND;
    FG_OPAQUE(mix_first);
    FG_OPAQUE(mix_second);
    const int32_t *const end = sums + count;
    if ((first & 1) != 0 && sums != end) {
        const int32_t change = fg_quick_change(&pace, (uint32_t)*sums++ << pace.left);
        fg_change_weight(masters++, shadow++, change + (int32_t)(fg_mix32(word++) >> 16));
    }
    for (; end - sums >= 2; sums += 2) {
        const int32_t change0 = fg_quick_change(&pace, (uint32_t)sums[0] << pace.left);
        const int32_t change1 = fg_quick_change(&pace, (uint32_t)sums[1] << pace.left);
        fg_change_pair(masters, shadow, change0, change1, fg_mix32_by(word, mix_first, mix_second));
        ++word;
        masters += 2;
        shadow += 2;
    }
    if (sums != end) {
        const int32_t change = fg_quick_change(&pace, (uint32_t)*sums << pace.left);
        fg_change_weight(masters, shadow, change + (int32_t)(fg_mix32(word) & 0xFFFFU));
    }
    return true;
}

/* The sums of a channel's errors would fit 16 bits over so many pixels. */
#define MOST_PIXELS 256U

/* Sums of four channels' errors. */
static FG_NOINLINE void sum_four(const int8_t *errors, uint32_t pixels, uint32_t channels,
                                 int32_t sums[4]) {
    while (pixels > 0U) {
        uint32_t even = 0;
        uint32_t odd = 0;
        const uint32_t now = pixels < MOST_PIXELS ? pixels : MOST_PIXELS;
        for (uint32_t pixel = 0; pixel < now; ++pixel) {
            const uint32_t bytes = fg_load_quad(errors);
            even = fg_add_even_bytes(even, bytes);
            odd = fg_add_odd_bytes(odd, bytes);
            errors += channels;
        }
        sums[0] += (int16_t)(even & 0xFFFFU);
        sums[1] += (int16_t)(odd & 0xFFFFU);
        sums[2] += (int16_t)(even >> 16);
        sums[3] += (int16_t)(odd >> 16);
        pixels -= now;
    }
}

void fg_learn_biases(const fg_learning *learning, const int8_t *errors, uint32_t pixels,
                     uint32_t channels, int32_t *bias) {
    uint32_t channel = 0;
    for (; channel + 4U <= channels; channel += 4U) {
        int32_t sums[4] = {0, 0, 0, 0};
        sum_four(errors + channel, pixels, channels, sums);
        for (uint32_t lane = 0; lane < 4U; ++lane) {
            fg_learn_bias(learning, (int32_t)(channel + lane), sums[lane], &bias[channel + lane]);
        }
    }
    for (; channel < channels; ++channel) {
        int32_t sum = 0;
        for (uint32_t pixel = 0; pixel < pixels; ++pixel) {
            sum += errors[pixel * channels + channel];
        }
        fg_learn_bias(learning, (int32_t)channel, sum, &bias[channel]);
    }
}

#endif
