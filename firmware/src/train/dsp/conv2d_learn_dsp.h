/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_CONV2D_LEARN_DSP_H
#define FG_TRAIN_CONV2D_LEARN_DSP_H

#include "../learn.h"

/* fg_conv2d_learn_weights() where scratch memory has room for spread inputs, which it returns. */
bool fg_conv2d_learn_tiles(const fg_backward *layer, const fg_learning *learning,
                           const int8_t *errors, const int8_t *input, int32_t *scratch,
                           int16_t *masters, int8_t *shadow);

#endif
