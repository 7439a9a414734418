/* SPDX-License-Identifier: Apache-2.0 */
#include "learn.h"

#include "fleetgrad/fg_rng.h"

#include "masters.h"
#include "train_math.h"

fg_learning fg_learning_begin(const fg_rates *rates, const fg_step *step, const fg_error *from) {
    return (fg_learning){.rates = rates,
                         .step = step,
                         .layer_key = fg_layer_key(step->key, rates->layer),
                         .exponent = from->exponent};
}

void fg_learn_bias(const fg_learning *learning, int32_t channel, int32_t sum, int32_t *bias) {
    const fg_scale *const scale = &learning->rates->bias[channel * learning->rates->step];
    const fg_pace rate = fg_pace_of(learning, scale, -learning->rates->growth, FG_BIAS_BITS);
    int32_t change = (int32_t)fg_shift_round(sum * rate.mantissa, rate.shift, FG_CHANGE_LIMIT);
    if (change != 0) {
        const uint32_t key = fg_row_key(learning->layer_key, (uint32_t)channel);
        change += (int32_t)(fg_mix32(key + FG_BIAS_WORD) & 0xFFU);
    }
    *bias = fg_clamp32(fg_clamp32(*bias, FG_BIAS_LIMIT) - (change >> FG_BIAS_BITS), FG_BIAS_LIMIT);
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
