/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_DEPTHWISE_DSP_H
#define FG_DEPTHWISE_DSP_H

#include "fleetgrad/fg_kernels.h"

/* fg_depthwise_conv2d() where every input channel has one filter. */
void fg_depthwise_strips(const fg_depthwise_conv2d_params *params, const int8_t *weights,
                         const int32_t *bias, const int8_t *input, int8_t *scratch, int8_t *output);

#endif
