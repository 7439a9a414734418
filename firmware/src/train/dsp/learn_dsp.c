/* SPDX-License-Identifier: Apache-2.0 */
#include "learn_dsp.h"

#include "../../kernels/fg_target.h"

#if FG_DSP

/* As much as the largest magnitude, of one bit more; 0: all are 0. */
static uint32_t largest_of(const int32_t *sums, int32_t count) {
    uint32_t all = 0;
    for (int32_t i = 0; i < count; ++i) {
        all |= (uint32_t)sums[i] ^ (uint32_t)sums[i] << 1;
    }
    return all;
}

/* An even number of weights from an even one on. */
static FG_NOINLINE void change_pairs(const fg_quick_pace *pace, uint32_t word, const int32_t *sums,
                                     const int32_t *end, int16_t *masters, int8_t *shadow) {
    const fg_quick_pace own = *pace;
    uint32_t first = FG_MIX_FIRST;
    uint32_t second = FG_MIX_SECOND;
    FG_OPAQUE(first);
    FG_OPAQUE(second);
    for (; sums != end; sums += 2) {
        const int32_t change0 = fg_quick_change(&own, (uint32_t)sums[0] << own.left);
        const int32_t change1 = fg_quick_change(&own, (uint32_t)sums[1] << own.left);
        fg_change_pair(masters, shadow, change0, change1, fg_mix32_by(word, first, second));
        ++word;
        masters += 2;
        shadow += 2;
    }
}

bool fg_learn_quickly(const fg_learning *learning, int32_t channel, int32_t first, int32_t count,
                      const int32_t *sums, int16_t *masters, int8_t *shadow) {
    const fg_scale *const scale = &learning->rates->weight[channel * learning->rates->step];
    const uint32_t largest = largest_of(sums, count);
    if (largest == 0U) {
        return true;
    }
    fg_quick_pace pace;
    if (!fg_quick_pace_of(fg_pace_of(learning, scale, learning->rates->growth, FG_WEIGHT_BITS),
                          largest, &pace)) {
        return false;
    }
    const uint32_t key = fg_row_key(learning->layer_key, (uint32_t)channel);
    uint32_t word = key + (uint32_t)first / 2U;
    if ((first & 1) != 0 && count > 0) {
        const int32_t change = fg_quick_change(&pace, (uint32_t)*sums++ << pace.left);
        fg_change_weight(masters++, shadow++, change + (int32_t)(fg_mix32(word++) >> 16));
        --count;
    }
    const int32_t even = count & ~1;
    change_pairs(&pace, word, sums, sums + even, masters, shadow);
    if (even != count) {
        const int32_t change = fg_quick_change(&pace, (uint32_t)sums[even] << pace.left);
        const uint32_t noise = fg_mix32(word + (uint32_t)even / 2U) & 0xFFFFU;
        fg_change_weight(masters + even, shadow + even, change + (int32_t)noise);
    }
    return true;
}

/* An even number of weights along `error` * 2^left. Inputs at their zero point change nothing. */
static FG_NOINLINE void change_pixel_pairs(const fg_quick_pace *pace, uint32_t word, int32_t error,
                                           const int8_t *inputs, const int8_t *end, int32_t zero,
                                           int16_t *masters, int8_t *shadow) {
    const fg_quick_pace own = *pace;
    uint32_t first = FG_MIX_FIRST;
    uint32_t second = FG_MIX_SECOND;
    FG_OPAQUE(first);
    FG_OPAQUE(second);
    for (; inputs != end; inputs += 2) {
        const int32_t x0 = inputs[0] - zero;
        const int32_t x1 = inputs[1] - zero;
        if ((x0 | x1) != 0) {
            const int32_t change0 = fg_quick_change(&own, (uint32_t)(x0 * error));
            const int32_t change1 = fg_quick_change(&own, (uint32_t)(x1 * error));
            fg_change_pair(masters, shadow, change0, change1, fg_mix32_by(word, first, second));
        }
        ++word;
        masters += 2;
        shadow += 2;
    }
}

bool fg_learn_pixel(const fg_learning *learning, int32_t channel, int32_t error,
                    const int8_t *inputs, int32_t zero, int32_t count, int16_t *masters,
                    int8_t *shadow) {
    const fg_scale *const scale = &learning->rates->weight[channel * learning->rates->step];
    fg_quick_pace pace;
    if (!fg_quick_pace_of(fg_pace_of(learning, scale, learning->rates->growth, FG_WEIGHT_BITS),
                          (uint32_t)(error < 0 ? -error : error) * 255U, &pace)) {
        return false;
    }
    const int32_t even = count & ~1;
    const uint32_t word = fg_row_key(learning->layer_key, (uint32_t)channel);
    const int32_t shifted = (int32_t)((uint32_t)error << pace.left);
    change_pixel_pairs(&pace, word, shifted, inputs, inputs + even, zero, masters, shadow);
    if (even != count) {
        const int32_t change = fg_quick_change(&pace, (uint32_t)((inputs[even] - zero) * shifted));
        const uint32_t noise = fg_mix32(word + (uint32_t)even / 2U) & 0xFFFFU;
        fg_change_weight(masters + even, shadow + even, change + (int32_t)noise);
    }
    return true;
}

#if !FG_MVE

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

/* fg_learn_bias() without 64-bit arithmetic, where that is the same. */
static void learn_bias(const fg_learning *learning, uint32_t channel, int32_t sum, int32_t *bias) {
    const fg_scale *const scale = &learning->rates->bias[(int32_t)channel * learning->rates->step];
    fg_quick_pace pace;
    if (sum == 0) {
        *bias = fg_clamp32(*bias, FG_BIAS_LIMIT);
        return;
    }
    if (!fg_quick_pace_of(fg_pace_of(learning, scale, -learning->rates->growth, FG_BIAS_BITS),
                          (uint32_t)(sum ^ (sum >> 31)), &pace)) {
        fg_learn_bias(learning, (int32_t)channel, sum, bias);
        return;
    }
    int32_t change = fg_quick_change(&pace, (uint32_t)sum << pace.left);
    if (change != 0) {
        const uint32_t key = fg_row_key(learning->layer_key, channel);
        change += (int32_t)(fg_mix32(key + FG_BIAS_WORD) & 0xFFU);
    }
    *bias = fg_clamp32(fg_clamp32(*bias, FG_BIAS_LIMIT) - (change >> FG_BIAS_BITS), FG_BIAS_LIMIT);
}

void fg_learn_biases(const fg_learning *learning, const int8_t *errors, uint32_t pixels,
                     uint32_t channels, int32_t *bias) {
    uint32_t channel = 0;
    for (; channel + 4U <= channels; channel += 4U) {
        int32_t sums[4] = {0, 0, 0, 0};
        sum_four(errors + channel, pixels, channels, sums);
        for (uint32_t lane = 0; lane < 4U; ++lane) {
            learn_bias(learning, channel + lane, sums[lane], &bias[channel + lane]);
        }
    }
    for (; channel < channels; ++channel) {
        int32_t sum = 0;
        for (uint32_t pixel = 0; pixel < pixels; ++pixel) {
            sum += errors[pixel * channels + channel];
        }
        learn_bias(learning, channel, sum, &bias[channel]);
    }
}

#endif

#endif
