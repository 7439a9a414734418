/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_PATCH_H
#define FG_PATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "fleetgrad/fg_kernels.h"

/* Where the window of one output begins in the input; negative inside the padding. */
static inline int32_t fg_window_top(const fg_window *window, int32_t row) {
    return row * window->stride_h - window->pad_top;
}

static inline int32_t fg_window_left(const fg_window *window, int32_t column) {
    return column * window->stride_w - window->pad_left;
}

/* Whether all taps of a window that begins at (top, left) lie inside the input. */
bool fg_window_inside(const fg_window *window, int32_t top, int32_t left);

/* Whether every window sees bytes that lie one after the other in the input. */
bool fg_window_contiguous(const fg_window *window);

/* Copies what the window sees, [kernel_h][kernel_w][channels], to `patch`; `fill` stands for
 * padding. */
void fg_gather_patch(const fg_window *window, int32_t channels, int32_t top, int32_t left,
                     int8_t fill, const int8_t *input, int8_t *patch);

#endif
