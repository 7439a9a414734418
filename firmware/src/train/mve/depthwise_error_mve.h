/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_DEPTHWISE_ERROR_MVE_H
#define FG_TRAIN_DEPTHWISE_ERROR_MVE_H

#include <stdbool.h>

#include "../error_pass.h"

/* Whether fg_depthwise_error_planes() takes the layer: one filter per channel, no dilation. */
bool fg_depthwise_error_has_planes(const fg_backward *layer);

/* fg_depthwise_error_pass() of such a layer. */
fg_peaks fg_depthwise_error_planes(const fg_backward *layer, const fg_split_weights *weights,
                                   const int8_t *errors, const fg_mask *mask, int32_t shift,
                                   int32_t *scratch, int8_t *made);

#endif
