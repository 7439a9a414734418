/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_DEPTHWISE_MVE_H
#define FG_DEPTHWISE_MVE_H

#include <stdbool.h>

#include "fleetgrad/fg_kernels.h"

/* Bytes between planes; the generator knows them, too. */
#define FG_PLANE_ROOM 16

/* Whether fg_depthwise_planes() takes the layer: one filter per channel. */
bool fg_depthwise_has_planes(const fg_depthwise_conv2d_params *params);

/* fg_depthwise_conv2d() of such a layer. */
void fg_depthwise_planes(const fg_depthwise_conv2d_params *params, const int8_t *weights,
                         const int32_t *bias, const int8_t *input, int8_t *scratch, int8_t *output);

#endif
