/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_BLOCK_MVE_H
#define FG_BLOCK_MVE_H

/* From a block of sums, [channel][FG_SUMS_PIXELS], to outputs. */

#include "fg_scale_mve.h"
#include "fg_sums_mve.h"

/* What all blocks of a layer share. */
typedef struct fg_finisher {
    const fg_channel_scale *scale;
    const fg_output *output;
    const int32_t *bias;
    int32_t channels; /* of an output pixel */
    fg_finish finish;
} fg_finisher;

/* `count` channels, FG_BLOCK_CHANNELS or fewer, from `channel` on, of `pixels` neighbours, the
 * first of which begins at `output`. */
void fg_finish_block(const fg_finisher *of, int32_t channel, int32_t count, const int32_t *sums,
                     int32_t pixels, int8_t *output);

#endif
