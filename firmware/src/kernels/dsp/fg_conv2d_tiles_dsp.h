/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_CONV2D_TILES_DSP_H
#define FG_CONV2D_TILES_DSP_H

#include <stdbool.h>

#include "fleetgrad/fg_kernels.h"

/* Whether filters are small enough to spread those of four channels for several pixels. */
bool fg_conv2d_fits_tiles(const fg_conv2d_params *params);

/* fg_conv2d() where they are. */
void fg_conv2d_tiles(const fg_conv2d_params *params, const int8_t *weights, const int32_t *bias,
                     const int8_t *input, int8_t *scratch, int8_t *output);

#endif
