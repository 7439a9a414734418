/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "learn.h"

void fg_conv2d_learn(const fg_backward *layer, const fg_step *step, const fg_error *from,
                     const int8_t *errors, const int8_t *input, int32_t *scratch, int32_t *bias,
                     int16_t *masters, int8_t *shadow) {
    if (from->bits == 0) {
        return;
    }
    const uint32_t pixels = (uint32_t)(layer->window.out_h * layer->window.out_w);
    const fg_learning learning = fg_learning_begin(&layer->rates, step, from);
    fg_learn_biases(&learning, errors, pixels, (uint32_t)layer->out_channels, bias);
    if (layer->trained != 0) {
        fg_conv2d_learn_weights(layer, &learning, errors, input, scratch, masters, shadow);
    }
}
