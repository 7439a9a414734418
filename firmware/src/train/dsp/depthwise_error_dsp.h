/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_DEPTHWISE_ERROR_DSP_H
#define FG_TRAIN_DEPTHWISE_ERROR_DSP_H

#include "../error_pass.h"

/* Whether every channel has one filter, without gaps or with a stride of 1. */
bool fg_depthwise_error_fits(const fg_backward *layer);

/* fg_depthwise_error_pass() where it fits. */
fg_peaks fg_depthwise_error_strips(const fg_backward *layer, const fg_split_weights *weights,
                                   const int8_t *errors, const fg_mask *mask, int32_t shift,
                                   int32_t *scratch, int8_t *made);

#endif
