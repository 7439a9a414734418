/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_PATCH_DSP_H
#define FG_PATCH_DSP_H

/* Patches of two neighbouring pixels, spread to int16 in the order in which weights come out of
 * their bytes: for every four taps the words (0, 2) and (1, 3) of the first pixel, then those of
 * the second; or, in tiles, (0, 2) of both, then (1, 3). Taps beyond the last one are 0. */

#include <stdbool.h>

#include "fg_dsp.h"
#include "fleetgrad/fg_kernels.h"

/* Words from four taps of a pixel to its next four. */
#define FG_QUAD_WORDS 4
/* Words from a pixel's taps to the other one's. */
#define FG_PIXEL_WORDS 2

/* What patches have in common. */
typedef struct fg_spreading {
    const fg_window *window;
    int32_t channels;
    int8_t fill;     /* stands for padding */
    bool contiguous; /* patches lie in the input byte after byte */
    int8_t *bytes;   /* holds a patch; only used where rows of it are not whole quads */
    int32_t gap;     /* words from (0, 2) to (1, 3) */
} fg_spreading;

fg_spreading fg_spreading_of(const fg_window *window, int32_t channels, int8_t fill, int8_t *bytes,
                             int32_t gap);

/* Spreads what the window at (top, left) sees to one pixel's words. */
void fg_spread_patch(const fg_spreading *of, int32_t top, int32_t left, const int8_t *input,
                     uint32_t *words);

#endif
