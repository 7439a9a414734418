/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_PATCH_DSP_H
#define FG_PATCH_DSP_H

/* Patches of two neighbouring pixels, spread to int16 in the order in which weights come out of
 * their bytes: for every four taps the words (0, 2) and (1, 3) of the first pixel, then those of
 * the second. Taps beyond the last one are 0. */

#include "fg_dsp.h"
#include "fleetgrad/fg_kernels.h"

/* Words from four taps of a pixel to its next four. */
#define FG_QUAD_WORDS 4
/* Words from a pixel's taps to the other one's. */
#define FG_PIXEL_WORDS 2

/* Spreads what the window at (top, left) sees to one pixel's words. `bytes` holds a patch; it is
 * only used where rows of the window do not consist of whole quads. */
void fg_spread_patch(const fg_window *window, int32_t channels, int32_t top, int32_t left,
                     int8_t fill, const int8_t *input, int8_t *bytes, uint32_t *words);

#endif
