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

fg_learning fg_learning_begin(const fg_rates *rates, const fg_step *step, const fg_error *from);

/* Changes the bias of an output channel along the sum of its errors. */
void fg_learn_bias(const fg_learning *learning, int32_t channel, int32_t sum, int32_t *bias);

/* Changes the weights of an output channel along sums[i] of the products of errors and inputs;
 * weight i is at masters[i * step]. */
void fg_learn_weights(const fg_learning *learning, int32_t channel, const int32_t *sums,
                      int32_t count, int32_t step, int16_t *masters, int8_t *shadow);

#endif
