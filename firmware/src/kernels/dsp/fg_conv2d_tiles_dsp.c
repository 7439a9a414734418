/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_conv2d_tiles_dsp.h"

#include "../fg_patch.h"
#include "../fg_requantize.h"
#include "../fg_target.h"
#include "fg_patch_dsp.h"
#include "fg_scale_dsp.h"
#include "fg_tile_dsp.h"

#if FG_DSP && !FG_MVE

/* Patches of a block of pixels are spread, then for four channels after the other their filters:
 * worth it where a filter is short, so that few products share what comes before and after them. */

enum {
    LEAST_PIXELS = 4,
};

typedef struct block {
    const fg_conv2d_params *params;
    const int8_t *weights;
    const int32_t *bias;
    int32_t taps, words;     /* of a patch; of two pixels' */
    int32_t pixels;          /* that are spread */
    uint32_t *rows, *filter; /* patches; filters */
    int8_t *output;          /* of the first pixel */
} block;

static int32_t taps_of(const fg_conv2d_params *params) {
    return params->window.kernel_h * params->window.kernel_w * params->in_channels;
}

bool fg_conv2d_fits_tiles(const fg_conv2d_params *params) {
    const int32_t pixels = params->window.out_h * params->window.out_w;
    return params->block != 0 && pixels >= LEAST_PIXELS && params->out_channels >= FG_TILE_COLUMNS;
}

/* The filters of four channels, the last one of the layer as often as need be. */
static FG_NOINLINE void spread_filters(const block *of, const int32_t *channels) {
    const int32_t taps = of->taps;
    const int8_t *const row0 = of->weights + channels[0] * taps;
    const int8_t *const row1 = of->weights + channels[1] * taps;
    const int8_t *const row2 = of->weights + channels[2] * taps;
    const int8_t *const row3 = of->weights + channels[3] * taps;
    uint32_t *words = of->filter;
    int32_t tap = 0;
    for (; tap + 4 <= taps; tap += 4) {
        const uint32_t quad0 = fg_load_quad(row0 + tap);
        const uint32_t quad1 = fg_load_quad(row1 + tap);
        const uint32_t quad2 = fg_load_quad(row2 + tap);
        const uint32_t quad3 = fg_load_quad(row3 + tap);
        words[0] = fg_even_bytes(quad0);
        words[1] = fg_even_bytes(quad1);
        words[2] = fg_even_bytes(quad2);
        words[3] = fg_even_bytes(quad3);
        words[4] = fg_odd_bytes(quad0);
        words[5] = fg_odd_bytes(quad1);
        words[6] = fg_odd_bytes(quad2);
        words[7] = fg_odd_bytes(quad3);
        words += 2 * FG_TILE_COLUMNS;
    }
    if (tap != taps) {
        for (int32_t column = 0; column < FG_TILE_COLUMNS; ++column) {
            const int8_t *const rest = of->weights + channels[column] * taps + tap;
            const uint32_t quad = fg_load_some(rest, taps - tap);
            words[column] = fg_even_bytes(quad);
            words[FG_TILE_COLUMNS + column] = fg_odd_bytes(quad);
        }
    }
}

/* Outputs of four channels, from `channel` on, where the scale is quick. */
static FG_INLINE void usual_outputs(const block *of, int32_t channel, bool whole) {
    const fg_conv2d_params *const params = of->params;
    const fg_limits limits = fg_limits_of(&params->output);
    const int32_t outputs = params->out_channels;
    fg_factor factor[FG_TILE_COLUMNS];
    for (int32_t column = 0; column < FG_TILE_COLUMNS; ++column) {
        factor[column] = fg_factor_of(params->scale.value[channel + column],
                                      params->scale.shift[channel + column]);
    }
    const uint32_t *const bias = (const uint32_t *)of->bias + channel;
    int8_t *output = of->output + channel;
    const uint32_t *rows = of->rows;
    for (int32_t left = of->pixels; left > 0; left -= FG_TILE_ROWS) {
        const uint32_t *const end = rows + of->words;
        const fg_tile sums = fg_tile_of(bias, rows, end, of->filter);
        rows = end;
        if (left > 1) {
            int8_t *const next = output + outputs;
            next[0] = fg_output_of(sums.row1[0], factor[0], &limits, whole);
            next[1] = fg_output_of(sums.row1[1], factor[1], &limits, whole);
            next[2] = fg_output_of(sums.row1[2], factor[2], &limits, whole);
            next[3] = fg_output_of(sums.row1[3], factor[3], &limits, whole);
        }
        output[0] = fg_output_of(sums.row0[0], factor[0], &limits, whole);
        output[1] = fg_output_of(sums.row0[1], factor[1], &limits, whole);
        output[2] = fg_output_of(sums.row0[2], factor[2], &limits, whole);
        output[3] = fg_output_of(sums.row0[3], factor[3], &limits, whole);
        output += FG_TILE_ROWS * outputs;
    }
}

static FG_NOINLINE void whole_outputs(const block *of, int32_t channel) {
    usual_outputs(of, channel, true);
}

static FG_NOINLINE void clamped_outputs(const block *of, int32_t channel) {
    usual_outputs(of, channel, false);
}

/* Outputs of any channels at any scale; `count` of the four count. */
static FG_NOINLINE void any_outputs(const block *of, const int32_t *channels, int32_t count) {
    const fg_conv2d_params *const params = of->params;
    int8_t *output = of->output + channels[0];
    const uint32_t *rows = of->rows;
    uint32_t begin[FG_TILE_COLUMNS];
    for (int32_t column = 0; column < FG_TILE_COLUMNS; ++column) {
        begin[column] = (uint32_t)of->bias[channels[column]];
    }
    for (int32_t left = of->pixels; left > 0; left -= FG_TILE_ROWS) {
        const fg_tile sums = fg_tile_of(begin, rows, rows + of->words, of->filter);
        if (left > 1) {
            fg_requantize(&params->scale, &params->output, channels[0], count, sums.row1,
                          output + params->out_channels);
        }
        fg_requantize(&params->scale, &params->output, channels[0], count, sums.row0, output);
        output += FG_TILE_ROWS * params->out_channels;
        rows += of->words;
    }
}

/* All channels of the block. */
static void compute(const block *of) {
    const fg_conv2d_params *const params = of->params;
    const bool whole = fg_limits_of(&params->output).whole;
    for (int32_t channel = 0; channel < params->out_channels; channel += FG_TILE_COLUMNS) {
        int32_t channels[FG_TILE_COLUMNS];
        for (int32_t column = 0; column < FG_TILE_COLUMNS; ++column) {
            channels[column] = fg_min(channel + column, params->out_channels - 1);
        }
        spread_filters(of, channels);
        const int32_t count = fg_min(params->out_channels - channel, FG_TILE_COLUMNS);
        if (!params->scale.quick || count != FG_TILE_COLUMNS) {
            any_outputs(of, channels, count);
        } else if (whole) {
            whole_outputs(of, channel);
        } else {
            clamped_outputs(of, channel);
        }
    }
}

void fg_conv2d_tiles(const fg_conv2d_params *params, const int8_t *weights, const int32_t *bias,
                     const int8_t *input, int8_t *scratch, int8_t *output) {
    const fg_window *const window = &params->window;
    const int32_t taps = taps_of(params);
    const int32_t quads = (taps + 3) / 4;
    const int32_t all = window->out_h * window->out_w;
    const int32_t most = fg_min(params->block, (all + 1) & ~1);
    block of = {
        .params = params,
        .weights = weights,
        .bias = bias,
        .taps = taps,
        .words = quads * FG_QUAD_WORDS,
        .rows = (uint32_t *)(void *)scratch,
        .output = output,
    };
    of.filter = of.rows + most / FG_TILE_ROWS * of.words;
    int8_t *const bytes = (int8_t *)(of.filter + quads * 2 * FG_TILE_COLUMNS);
    const fg_spreading spreading =
        fg_spreading_of(window, params->in_channels, params->input_zero, bytes, FG_TILE_ROWS);
    for (int32_t row = 0; row < window->out_h; ++row) {
        const int32_t top = fg_window_top(window, row);
        for (int32_t column = 0; column < window->out_w; ++column) {
            const int32_t left = fg_window_left(window, column);
            uint32_t *const words = of.rows + of.pixels / FG_TILE_ROWS * of.words;
            fg_spread_patch(&spreading, top, left, input, words + of.pixels % FG_TILE_ROWS);
            if (++of.pixels == most) {
                compute(&of);
                of.output += of.pixels * params->out_channels;
                of.pixels = 0;
            }
        }
    }
    if (of.pixels != 0) {
        compute(&of);
    }
}

#endif
