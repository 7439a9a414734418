/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_LEARN_H
#define FG_TRAIN_LEARN_H

/* From sums of products to changed parameters; private to firmware/src/train. */

#include <stdint.h>

#include "fleetgrad/fg_backward.h"

/* Keys of a layer within a step, and the unit of its errors. */
typedef struct fg_learning {
    const fg_rates *rates;
    const fg_step *step;
    uint32_t layer_key;
    int32_t exponent;
} fg_learning;

/* What turns a sum into a change with fractional bits: mantissa / 2^shift. */
typedef struct fg_pace {
    int64_t mantissa; /* below 2^30: a product with a 32-bit sum stays below 2^61 */
    int32_t shift;
} fg_pace;

/* `growth`: how often the constant has doubled since `scale` was made. */
static inline fg_pace fg_pace_of(const fg_learning *learning, const fg_scale *scale, int32_t growth,
                                 int32_t bits) {
    const fg_step *const step = learning->step;
    const int64_t product = (int64_t)scale->mantissa * step->lr_mantissa;
    const int32_t shift =
        30 - bits - scale->exponent - growth - step->lr_exponent - learning->exponent;
    return (fg_pace){.mantissa = product >> 15, .shift = shift};
}

fg_learning fg_learning_begin(const fg_rates *rates, const fg_step *step, const fg_error *from);

/* Changes the bias of an output channel along the sum of its errors. */
void fg_learn_bias(const fg_learning *learning, int32_t channel, int32_t sum, int32_t *bias);

/* The same for all biases, from errors [pixels][channels]. */
void fg_learn_biases(const fg_learning *learning, const int8_t *errors, uint32_t pixels,
                     uint32_t channels, int32_t *bias);

/* Changes weights first .. first + count - 1 of an output channel along sums[i] of the products of
 * errors and inputs; weight `first` is at masters[0], the next at masters[step]. */
void fg_learn_weights(const fg_learning *learning, int32_t channel, int32_t first, int32_t count,
                      const int32_t *sums, int32_t step, int16_t *masters, int8_t *shadow);

/* Changes the weights of all channels that train. */
void fg_conv2d_learn_weights(const fg_backward *layer, const fg_learning *learning,
                             const int8_t *errors, const int8_t *input, int32_t *scratch,
                             int16_t *masters, int8_t *shadow);
void fg_depthwise_learn_weights(const fg_backward *layer, const fg_learning *learning,
                                const int8_t *errors, const int8_t *input, int32_t *scratch,
                                int16_t *masters, int8_t *shadow);

#endif
