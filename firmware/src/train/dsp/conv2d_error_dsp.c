/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "../../kernels/dsp/fg_tile_dsp.h"
#include "../../kernels/fg_fixed_point.h"
#include "../error_pass.h"
#include "../scratch.h"

#if FG_DSP

/* The input is computed in blocks of neighbouring pixels of a row, whose sums lie in scratch
 * memory. For each row of the window the errors that the block needs are scaled and spread, two
 * pixels and two output channels at a time; for each tap and four input channels the weights. */

typedef struct block {
    const fg_backward *layer;
    const fg_split_weights *weights;
    fg_error_source from;
    fg_window window;
    int32_t pairs;           /* of output channels; the last one may be half */
    int32_t pitch;           /* words from a pixel's sums to the next one's */
    int32_t x, width;        /* of the input: the block's first pixel, and their number */
    int32_t column, columns; /* of the output: the first one that matters, and their number */
    uint32_t *sums, *spread, *taps;
} block;

/* One pixel's errors in a common unit: words of two output channels each, every other one. */
static FG_INLINE void spread_pixel(const block *of, int32_t pixel, bool narrow, uint32_t *words) {
    const fg_error_ratio *const ratio = &of->layer->ratio;
    const int32_t outputs = of->layer->out_channels;
    const int32_t half = (int32_t)(UINT32_C(1) << ((uint32_t)ratio->shift - 1U));
    const int32_t shift = ratio->shift;
    const int32_t step = ratio->step;
    const int16_t *value = ratio->value;
    const int8_t *error = narrow ? of->from.errors + pixel * outputs : NULL;
    const int16_t *slope = narrow ? NULL : of->from.gradient + pixel * outputs;
    for (int32_t left = outputs; left >= 2; left -= 2) {
        const int32_t low = ((narrow ? error[0] : slope[0]) * value[0] + half) >> shift;
        const int32_t high = ((narrow ? error[1] : slope[1]) * value[step] + half) >> shift;
        *words = fg_lower_halves((uint32_t)low, (uint32_t)high);
        words += FG_TILE_ROWS;
        value += 2 * step;
        if (narrow) {
            error += 2;
        } else {
            slope += 2;
        }
    }
    if ((outputs & 1) != 0) {
        const int32_t last = ((narrow ? *error : *slope) * *value + half) >> shift;
        *words = (uint32_t)last & 0xFFFFU;
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

/* Words of `count` / 2 pairs of output channels, `distance` bytes from one to the next. */
static FG_NOINLINE uint32_t *spread_pairs(const int8_t *weights, int32_t count, int32_t distance,
                                          int32_t lanes, uint32_t *words) {
    if (count < 2) {
        return words;
    }
    const int8_t *const end = weights + (count & ~1) * distance;
    if (lanes == FG_TILE_COLUMNS) {
        for (; weights != end; weights += 2 * distance) {
            words = fg_spread_quads(fg_load_quad(weights), fg_load_quad(weights + distance), words);
        }
        return words;
    }
    for (; weights != end; weights += 2 * distance) {
        words = fg_spread_quads(fg_load_some(weights, lanes),
                                fg_load_some(weights + distance, lanes), words);
    }
    return words;
}

/* The weights of input channels channel .. channel + lanes - 1 at a tap, for all output channels.
 */
static void spread_weights(const block *of, int32_t tap, int32_t channel, int32_t lanes) {
    const fg_window *const window = &of->window;
    const int32_t inputs = of->layer->in_channels;
    const int32_t distance = window->kernel_h * window->kernel_w * inputs;
    const int32_t at = tap * inputs + channel;
    int32_t trained = of->layer->trained;
    int32_t frozen = of->layer->out_channels - trained;
    uint32_t *words = of->taps;
    if (trained != 0) {
        words = spread_pairs(of->weights->trained + at, trained, distance, lanes, words);
    }
    const int8_t *rest = frozen == 0 ? NULL : of->weights->frozen + at;
    if ((trained & 1) != 0) {
        const int8_t *last = of->weights->trained + at + (trained - 1) * distance;
        const uint32_t other = frozen == 0 ? 0U : fg_load_some(rest, lanes);
        words = fg_spread_quads(fg_load_some(last, lanes), other, words);
        if (frozen == 0) {
            return;
        }
        rest += distance;
        --frozen;
    }
    words = spread_pairs(rest, frozen, distance, lanes, words);
    if ((frozen & 1) != 0) {
        (void)fg_spread_quads(fg_load_some(rest + (frozen - 1) * distance, lanes), 0U, words);
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
static void add_block(const block *of, int32_t y) {
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
        .pairs = layout.pairs,
        .pitch = layout.pitch,
        .sums = (uint32_t *)scratch,
        .spread = (uint32_t *)scratch + layout.sums,
        .taps = (uint32_t *)scratch + layout.sums + layout.spread,
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
