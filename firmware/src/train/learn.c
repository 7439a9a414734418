/* SPDX-License-Identifier: Apache-2.0 */
#include "learn.h"

#include "fleetgrad/fg_rng.h"

#include "masters.h"
#include "train_math.h"

/* What turns a sum into a change with fractional bits: mantissa / 2^shift. */
typedef struct pace {
    int64_t mantissa; /* below 2^30: a product with a 32-bit sum stays below 2^61 */
    int32_t shift;
} pace;

static pace pace_of(const fg_learning *learning, const fg_scale *scale, int32_t growth,
                    int32_t bits) {
    const fg_step *const step = learning->step;
    const int64_t product = (int64_t)scale->mantissa * step->lr_mantissa;
    const int32_t shift =
        30 - bits - scale->exponent - growth - step->lr_exponent - learning->exponent;
    return (pace){.mantissa = product >> 15, .shift = shift};
}

fg_learning fg_learning_begin(const fg_rates *rates, const fg_step *step, const fg_error *from) {
    return (fg_learning){.rates = rates,
                         .step = step,
                         .layer_key = fg_layer_key(step->key, rates->layer),
                         .exponent = from->exponent};
}

void fg_learn_bias(const fg_learning *learning, int32_t channel, int32_t sum, int32_t *bias) {
    const fg_scale *const scale = &learning->rates->bias[channel * learning->rates->step];
    const pace rate = pace_of(learning, scale, -learning->rates->growth, FG_BIAS_BITS);
    int32_t change = (int32_t)fg_shift_round(sum * rate.mantissa, rate.shift, FG_CHANGE_LIMIT);
    if (change != 0) {
        const uint32_t key = fg_row_key(learning->layer_key, (uint32_t)channel);
        change += (int32_t)(fg_mix32(key + FG_BIAS_WORD) & 0xFFU);
    }
    *bias = fg_clamp32(fg_clamp32(*bias, FG_BIAS_LIMIT) - (change >> FG_BIAS_BITS), FG_BIAS_LIMIT);
}

void fg_learn_weights(const fg_learning *learning, int32_t channel, const int32_t *sums,
                      int32_t count, int32_t step, int16_t *masters, int8_t *shadow) {
    const fg_scale *const scale = &learning->rates->weight[channel * learning->rates->step];
    const pace rate = pace_of(learning, scale, learning->rates->growth, FG_WEIGHT_BITS);
    const uint32_t key = fg_row_key(learning->layer_key, (uint32_t)channel);
    for (int32_t i = 0; i < count; i++) {
        if (sums[i] != 0) { /* else nothing changes whatever the noise: need not compute it */
            const uint32_t word = fg_mix32(key + ((uint32_t)i >> 1));
            const uint32_t noise = ((uint32_t)i & 1U) != 0U ? word >> 16 : word & 0xFFFFU;
            const int64_t change =
                fg_shift_round(sums[i] * rate.mantissa, rate.shift, FG_CHANGE_LIMIT);
            fg_change_weight(masters, shadow, (int32_t)change + (int32_t)noise);
        }
        masters += step;
        shadow += step;
    }
}

void fg_bias_learn_of_loss(const fg_rates *rates, const fg_step *step, const fg_error *from,
                           const int16_t *gradient, uint32_t rows, uint32_t channels,
                           int32_t *bias) {
    const fg_learning learning = fg_learning_begin(rates, step, from);
    for (uint32_t channel = 0; channel < channels; channel++) {
        int32_t sum = 0;
        for (uint32_t row = 0; row < rows; row++) {
            sum += gradient[row * channels + channel];
        }
        fg_learn_bias(&learning, (int32_t)channel, sum, &bias[channel]);
    }
}
