/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_WINDOW_H
#define FG_TRAIN_WINDOW_H

/* The geometry of a sliding window, seen from its input; private to firmware/src/train. */

#include <stdint.h>

#include "fleetgrad/fg_kernels.h"

/* Which output reads `position` through a tap at `offset` from the window's begin; -1: none. */
static inline int32_t fg_reader(int32_t position, int32_t before, int32_t offset, int32_t stride,
                                int32_t outputs) {
    const int32_t begin = position + before - offset;
    if (begin < 0 || begin % stride != 0) {
        return -1;
    }
    const int32_t reader = begin / stride;
    return (reader < outputs) ? reader : -1;
}

static inline int32_t fg_reader_row(const fg_window *window, int32_t y, int32_t ky) {
    return fg_reader(y, window->pad_top, ky * window->dilation_h, window->stride_h, window->out_h);
}

static inline int32_t fg_reader_column(const fg_window *window, int32_t x, int32_t kx) {
    return fg_reader(x, window->pad_left, kx * window->dilation_w, window->stride_w, window->out_w);
}

/* Where a tap reads; -1: in the padding. */
static inline int32_t fg_tap_row(const fg_window *window, int32_t row, int32_t ky) {
    const int32_t y = row * window->stride_h - window->pad_top + ky * window->dilation_h;
    return (y >= 0 && y < window->in_h) ? y : -1;
}

static inline int32_t fg_tap_column(const fg_window *window, int32_t column, int32_t kx) {
    const int32_t x = column * window->stride_w - window->pad_left + kx * window->dilation_w;
    return (x >= 0 && x < window->in_w) ? x : -1;
}

#endif
