/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_REQUANTIZE_H
#define FG_REQUANTIZE_H

#include <stdint.h>

#include "fleetgrad/fg_kernels.h"

/* From the sums of `count` output channels, the first of which is `channel`, to their outputs. */
void fg_requantize(const fg_channel_scale *scale, const fg_output *output, int32_t channel,
                   int32_t count, const uint32_t *sums, int8_t *result);

#endif
