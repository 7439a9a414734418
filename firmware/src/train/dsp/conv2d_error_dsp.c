/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "../../kernels/dsp/fg_tile_dsp.h"
#include "../../kernels/fg_fixed_point.h"
#include "../error_pass.h"
#include "../scratch.h"

#if FG_DSP && !FG_MVE

/* The input is computed in blocks of neighbouring pixels of a row, whose sums lie in scratch
 * memory. For each row of the window the errors that the block needs are scaled and spread, two
 * pixels and two output channels at a time; for each tap and four input channels the weights. */

typedef struct block {
    const fg_backward *layer;
    const fg_split_weights *weights;
    fg_error_source from;
    fg_window window;
    int32_t pairs; /* of listed output channels */
    bool half;     /* the last pair is one channel twice, of which one counts */
    uint16_t *list;
    int32_t pitch;           /* words from a pixel's sums to the next one's */
    int32_t x, width;        /* of the input: the block's first pixel, and their number */
    int32_t column, columns; /* of the output: the first one that matters, and their number */
    uint32_t *sums, *spread, *taps;
} block;

/* Lists the output channels in which the row's columns that matter have errors. Often they are few:
 * masks and dead channels leave nothing of the others. */
static FG_NOINLINE void list_channels(block *of, int32_t row) {
    const int32_t outputs = of->layer->out_channels;
    const int32_t pixel = row * of->window.out_w + of->column;
    int32_t found = 0;
    for (int32_t channel = 0; channel < outputs; channel += 4) {
        const int32_t lanes = fg_min(outputs - channel, 4);
        uint32_t any = 0;
        if (of->from.errors == NULL) {
            any = 0xFFFFFFFFU;
        } else {
            const int8_t *error = of->from.errors + pixel * outputs + channel;
            for (int32_t left = of->columns; left > 0; --left) {
                any |= lanes == 4 ? fg_load_quad(error) : fg_load_some(error, lanes);
                error += outputs;
            }
        }
        for (int32_t lane = 0; any != 0U && lane < lanes; ++lane) {
            if ((any & 0xFFU) != 0U) {
                of->list[found++] = (uint16_t)(channel + lane);
            }
            any >>= 8;
        }
    }
    of->half = (found & 1) != 0;
    if (of->half) {
        of->list[found] = of->list[found - 1];
    }
    of->pairs = (found + 1) / 2;
}

/* One pixel's errors in a common unit: words of two listed channels each, every other one. */
static FG_INLINE void spread_pixel(const block *of, int32_t pixel, bool narrow, uint32_t *words) {
    const fg_error_ratio *const ratio = &of->layer->ratio;
    const int32_t first = pixel * of->layer->out_channels;
    const int32_t half = (int32_t)(UINT32_C(1) << ((uint32_t)ratio->shift - 1U));
    const int32_t shift = ratio->shift;
    const int32_t varies = ratio->step == 0 ? 0 : -1;
    const int16_t *const value = ratio->value;
    const int8_t *const error = narrow ? of->from.errors + first : NULL;
    const int16_t *const slope = narrow ? NULL : of->from.gradient + first;
    const uint16_t *list = of->list;
    for (int32_t pair = of->pairs; pair > 0; --pair) {
        const int32_t a = list[0];
        const int32_t b = list[1];
        const int32_t low = ((narrow ? error[a] : slope[a]) * value[a & varies] + half) >> shift;
        const int32_t high = ((narrow ? error[b] : slope[b]) * value[b & varies] + half) >> shift;
        *words = fg_lower_halves((uint32_t)low, (uint32_t)high);
        words += FG_TILE_ROWS;
        list += 2;
    }
    if (of->half) {
        words[-FG_TILE_ROWS] &= 0xFFFFU;
    }
}

static FG_NOINLINE void spread_errors(const block *of, int32_t pixel, uint32_t *words) {
    spread_pixel(of, pixel, true, words);
}

static FG_NOINLINE void spread_gradient(const block *of, int32_t pixel, uint32_t *words) {
    spread_pixel(of, pixel, false, words);
}

/* Those of all columns of an output row that matter; beside the last one of an odd number stand
 * zeros. */
static void spread_row(const block *of, int32_t row) {
    uint32_t *words = of->spread;
    for (int32_t column = 0; column < of->columns; ++column) {
        const int32_t pixel = row * of->window.out_w + of->column + column;
        if (of->from.errors != NULL) {
            spread_errors(of, pixel, words + (column & 1));
        } else {
            spread_gradient(of, pixel, words + (column & 1));
        }
        if ((column & 1) != 0) {
            words += of->pairs * FG_TILE_ROWS;
        }
    }
    if ((of->columns & 1) != 0) {
        for (int32_t pair = 0; pair < of->pairs; ++pair) {
            words[pair * FG_TILE_ROWS + 1] = 0U;
        }
    }
}

/* Where the weights of output channels are. */
typedef struct filters {
    const int8_t *trained, *frozen; /* of the first channel of each kind, at a tap */
    int32_t count;                  /* of those that train */
    int32_t distance;               /* bytes from one channel to the next */
} filters;

static FG_INLINE const int8_t *filter_of(const filters *of, int32_t channel) {
    if (channel < of->count) {
        return of->trained + channel * of->distance;
    }
    return of->frozen + (channel - of->count) * of->distance;
}

/* The weights of input channels channel .. channel + lanes - 1 at a tap, for all listed output
 * channels. */
static FG_NOINLINE void spread_weights(const block *of, int32_t tap, int32_t channel,
                                       int32_t lanes) {
    const fg_backward *const layer = of->layer;
    const int32_t inputs = layer->in_channels;
    const int32_t at = tap * inputs + channel;
    const bool trains = layer->trained != 0;
    const bool freezes = layer->trained != layer->out_channels;
    const filters from = {.trained = trains ? of->weights->trained + at : NULL,
                          .frozen = freezes ? of->weights->frozen + at : NULL,
                          .count = layer->trained,
                          .distance = of->window.kernel_h * of->window.kernel_w * inputs};
    const uint16_t *list = of->list;
    const uint16_t *const end = list + 2 * of->pairs;
    uint32_t *words = of->taps;
    if (lanes != FG_TILE_COLUMNS) {
        for (; list != end; list += 2) {
            words = fg_spread_quads(fg_load_some(filter_of(&from, list[0]), lanes),
                                    fg_load_some(filter_of(&from, list[1]), lanes), words);
        }
        return;
    }
    for (; list != end && list[1] < from.count; list += 2) {
        words = fg_spread_quads(fg_load_quad(from.trained + list[0] * from.distance),
                                fg_load_quad(from.trained + list[1] * from.distance), words);
    }
    for (; list != end; list += 2) {
        words = fg_spread_quads(fg_load_quad(filter_of(&from, list[0])),
                                fg_load_quad(filter_of(&from, list[1])), words);
    }
}

/* Adds what goes through one tap to the sums of input channels channel .. channel + 3. */
static FG_NOINLINE void add_tap(const block *of, int32_t kx, int32_t channel) {
    const fg_window *const window = &of->window;
    const int32_t words = of->pairs * FG_TILE_ROWS;
    const int32_t stride = window->stride_w;
    uint32_t nowhere[FG_TILE_COLUMNS] = {0U, 0U, 0U, 0U};
    /* Pixel of the input, counted from the block's first one, that the first column sees. */
    int32_t seen = of->column * stride - window->pad_left + kx * window->dilation_w - of->x;
    const uint32_t *rows = of->spread;
    for (int32_t left = of->columns; left > 0; left -= FG_TILE_ROWS) {
        const int32_t next = seen + stride;
        const bool first = seen >= 0 && seen < of->width;
        const bool second = left > 1 && next >= 0 && next < of->width;
        if (first || second) {
            uint32_t *const sums0 = first ? of->sums + seen * of->pitch + channel : nowhere;
            uint32_t *const sums1 = second ? of->sums + next * of->pitch + channel : nowhere;
            fg_add_tile(sums0, sums1, rows, rows + words, of->taps);
        }
        seen += FG_TILE_ROWS * stride;
        rows += words;
    }
}

/* All sums of the block in row `y` of the input. */
static void add_block(block *of, int32_t y) {
    const fg_window *const window = &of->window;
    const int32_t inputs = of->layer->in_channels;
    memset(of->sums, 0, (size_t)(of->width * of->pitch) * sizeof *of->sums);
    if (of->columns <= 0) {
        return;
    }
    for (int32_t ky = 0; ky < window->kernel_h; ++ky) {
        const int32_t row = fg_reader_row(window, y, ky);
        if (row < 0) {
            continue;
        }
        list_channels(of, row);
        if (of->pairs == 0) {
            continue;
        }
        spread_row(of, row);
        for (int32_t kx = 0; kx < window->kernel_w; ++kx) {
            for (int32_t channel = 0; channel < inputs; channel += FG_TILE_COLUMNS) {
                const int32_t lanes = fg_min(inputs - channel, FG_TILE_COLUMNS);
                spread_weights(of, ky * window->kernel_w + kx, channel, lanes);
                add_tap(of, kx, channel);
            }
        }
    }
}

/* Output columns that see any of the block's pixels. */
static void find_columns(block *of) {
    const fg_window *const window = &of->window;
    const int32_t reach = (window->kernel_w - 1) * window->dilation_w;
    const int32_t before = of->x + window->pad_left;
    const int32_t first = fg_max_zero(before - reach + window->stride_w - 1) / window->stride_w;
    const int32_t last = (before + of->width - 1) / window->stride_w;
    of->column = first;
    of->columns = fg_min(last, window->out_w - 1) - first + 1;
}

fg_peaks fg_conv2d_error_pass(const fg_backward *layer, const fg_split_weights *weights,
                              fg_error_source from, const fg_mask *mask, int32_t shift,
                              int32_t *scratch, int8_t *made) {
    const fg_error_layout layout = fg_error_layout_of(layer);
    const uint32_t inputs = (uint32_t)layer->in_channels;
    block of = {
        .layer = layer,
        .weights = weights,
        .from = from,
        .window = layout.window,
        .pitch = layout.pitch,
        .sums = (uint32_t *)scratch,
        .spread = (uint32_t *)scratch + layout.sums,
        .taps = (uint32_t *)scratch + layout.sums + layout.spread,
        .list = (uint16_t *)(scratch + layout.sums + layout.spread + layout.pairs * 4),
    };
    fg_peaks peaks = {0U, 0U};
    uint32_t index = 0;
    for (int32_t y = 0; y < of.window.in_h; ++y) {
        for (of.x = 0; of.x < of.window.in_w; of.x += layout.block) {
            of.width = fg_min(of.window.in_w - of.x, layout.block);
            find_columns(&of);
            add_block(&of, y);
            for (int32_t pixel = 0; pixel < of.width; ++pixel) {
                fg_error_store((const int32_t *)of.sums + pixel * of.pitch, inputs, mask, index,
                               shift, made, &peaks);
                index += inputs;
            }
        }
    }
    return peaks;
}

#endif
