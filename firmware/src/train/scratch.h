/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_SCRATCH_H
#define FG_TRAIN_SCRATCH_H

/* How the kernels of this folder that spread their operands use scratch memory, in words; the
 * generator plans with fleetgrad_codegen.gradient.scratch, which says the same. */

#include <stdbool.h>

#include "fleetgrad/fg_backward.h"

#include "window.h"

/* Of fg_conv2d_error(): sums of a block, spread errors, spread weights, listed channels.
 */
typedef struct fg_error_layout {
    fg_window window; /* where pixels do not depend on their neighbours, one row of them */
    int32_t block;    /* pixels */
    int32_t pairs;    /* of output channels */
    int32_t pitch;    /* of sums: words from one pixel to the next */
    int32_t sums, spread;
} fg_error_layout;

static inline int32_t fg_max_zero(int32_t value) {
    return value < 0 ? 0 : value;
}

/* Whether every pixel depends on the one in its place only. */
static inline bool fg_error_is_pointwise(const fg_window *window) {
    return window->kernel_h == 1 && window->kernel_w == 1 && window->stride_h == 1 &&
           window->stride_w == 1 && window->pad_top == 0 && window->pad_left == 0 &&
           window->in_h == window->out_h && window->in_w == window->out_w;
}

static inline fg_error_layout fg_error_layout_of(const fg_backward *layer) {
    fg_error_layout layout = {.window = layer->window};
    fg_window *const window = &layout.window;
    if (fg_error_is_pointwise(window) && window->in_h * window->in_w <= INT16_MAX) {
        window->in_w = (int16_t)(window->in_w * window->in_h);
        window->out_w = window->in_w;
        window->in_h = 1;
        window->out_h = 1;
    }
    layout.block = window->in_w < layer->block ? window->in_w : layer->block;
    layout.pairs = (layer->out_channels + 1) / 2;
    layout.pitch = (layer->in_channels + 3) / 4 * 4;
    const int32_t reach = (window->kernel_w - 1) * window->dilation_w;
    const int32_t most = (layout.block - 1 + reach) / window->stride_w + 1;
    const int32_t columns = most < window->out_w ? most : window->out_w;
    layout.sums = layout.block * layout.pitch;
    layout.spread = (columns + 1) / 2 * 2 * layout.pairs;
    return layout;
}

/* Of fg_conv2d_learn(), where it is quick: inputs of some channels and errors of two, spread, and
 * sums of both. */
typedef struct fg_learn_layout {
    int32_t pairs;   /* of pixels */
    int32_t columns; /* input channels at a time, whole tiles; 0: only the sums of all taps */
} fg_learn_layout;

enum {
    FG_LEARN_PIXELS = 256,  /* at most, for inputs to be spread */
    FG_LEARN_INPUTS = 2560, /* of all pixels, spread together */
    FG_LEARN_COLUMNS = 128,
    FG_LINE_PIXELS = 128, /* turned at a time, with vectors */
};

static inline fg_learn_layout fg_learn_layout_of(const fg_backward *layer) {
    const int32_t pixels = layer->window.out_h * layer->window.out_w;
    if (pixels == 1 || pixels > FG_LEARN_PIXELS) {
        return (fg_learn_layout){0, 0};
    }
    const int32_t all = (layer->in_channels + 3) / 4 * 4;
    const int32_t room = FG_LEARN_INPUTS / pixels / 4 * 4;
    const int32_t most = room < FG_LEARN_COLUMNS ? room : FG_LEARN_COLUMNS;
    return (fg_learn_layout){.pairs = (pixels + 1) / 2, .columns = all < most ? all : most};
}

/* Of fg_depthwise_error(), where every channel has one filter: spread weights of four channels, and
 * a ring of rows of their spread errors. */
typedef struct fg_strip_layout {
    int32_t taps; /* words */
    int32_t rows; /* in the ring */
} fg_strip_layout;

static inline fg_strip_layout fg_strip_layout_of(const fg_backward *layer) {
    const fg_window *const window = &layer->window;
    const int32_t most = (window->kernel_h - 1) * window->dilation_h / window->stride_h + 1;
    return (fg_strip_layout){
        .taps = 2 * window->kernel_h * window->kernel_w,
        .rows = most < window->out_h ? most : window->out_h,
    };
}

/* The same with vectors: a plane for each of eight channels, and filters of theirs for every phase
 * of the stride, in whole vectors; two, four or seven of them stay in registers. */
typedef struct fg_plane_layout {
    int32_t rows, reach, taps; /* of a filter: rows, columns less one, both together */
    int32_t columns;           /* that are seen, those of zeros included */
    int32_t pitch;             /* halves from a plane to the next one */
    int32_t halves;            /* of a filter */
} fg_plane_layout;

enum { FG_PLANE_CHANNELS = 8 };

static inline fg_plane_layout fg_plane_layout_of(const fg_backward *layer) {
    const fg_window *const window = &layer->window;
    const int32_t rows = (window->kernel_h - 1) / window->stride_h + 1;
    const int32_t reach = (window->kernel_w - 1) / window->stride_w;
    const int32_t columns = (window->in_w - 1 + window->pad_left) / window->stride_w + 1 + reach;
    const int32_t down = (window->in_h - 1 + window->pad_top) / window->stride_h -
                         window->pad_top / window->stride_h;
    const int32_t taps = rows * (reach + 1);
    const int32_t vectors = (taps + 7) / 8;
    const int32_t whole = vectors <= 2 ? 2 : vectors <= 4 ? 4 : vectors <= 7 ? 7 : vectors;
    return (fg_plane_layout){
        .rows = rows,
        .reach = reach,
        .taps = taps,
        .columns = columns,
        .pitch = rows * columns + down,
        .halves = 8 * whole,
    };
}

#endif
