/* SPDX-License-Identifier: Apache-2.0 */
#include "conv2d_learn_dsp.h"

#include "../../kernels/dsp/fg_tile_dsp.h"
#include "../../kernels/fg_fixed_point.h"
#include "../scratch.h"
#include "learn_dsp.h"

#if FG_DSP && !FG_MVE

/* For each tap and some input channels, the inputs that the outputs' pixels see are spread, two
 * pixels to a word, and then for two output channels at a time their errors. The input's zero point
 * need not be subtracted from each: the sums begin with what that comes to. */

typedef struct part {
    const fg_backward *layer;
    const int8_t *errors;
    const int8_t *input;
    int32_t pixels, pairs;
    int32_t tap, channel, channels; /* of the input */
    uint32_t *inputs;               /* [tiles][pairs][FG_TILE_COLUMNS] */
    uint32_t *rows;                 /* [pairs][FG_TILE_ROWS] */
    int32_t *sums;                  /* [FG_TILE_ROWS][channels, whole tiles] */
} part;

/* Where the output's pixels find their inputs, one after the other. */
typedef struct walk {
    int32_t row, column;
} walk;

static FG_INLINE const int8_t *take_pixel(const part *of, walk *at) {
    const fg_window *const window = &of->layer->window;
    const int32_t y = fg_tap_row(window, at->row, of->tap / window->kernel_w);
    const int32_t x = fg_tap_column(window, at->column, of->tap % window->kernel_w);
    if (++at->column == window->out_w) {
        at->column = 0;
        ++at->row;
    }
    if (y < 0 || x < 0 || at->row > window->out_h) {
        return NULL;
    }
    return of->input + (y * window->in_w + x) * of->layer->in_channels;
}

/* Four input channels of all pixels; padding, and a pixel that makes the number even, hold the zero
 * point. */
static FG_NOINLINE void spread_inputs(const part *of, int32_t channel, uint32_t *words) {
    const uint32_t zero = (uint8_t)of->layer->input_zero * 0x01010101U;
    const int32_t lanes = fg_min(of->layer->in_channels - channel, FG_TILE_COLUMNS);
    walk at = {0, 0};
    for (int32_t pixel = 0; pixel < of->pixels; pixel += 2) {
        uint32_t both[2] = {zero, zero};
        for (int32_t side = 0; side < 2 && pixel + side < of->pixels; ++side) {
            const int8_t *const seen = take_pixel(of, &at);
            if (seen != NULL) {
                both[side] = lanes == FG_TILE_COLUMNS ? fg_load_quad(seen + channel)
                                                      : fg_load_some(seen + channel, lanes);
            }
        }
        words = fg_spread_quads(both[0], both[1], words);
    }
}

/* Errors of two output channels, or of the last one twice; makes the sums begin. Returns whether
 * there are any. */
static FG_NOINLINE bool spread_errors(const part *of, int32_t output, int32_t next) {
    const int32_t outputs = of->layer->out_channels;
    const int8_t *error = of->errors + output;
    uint32_t *words = of->rows;
    uint32_t total0 = 0;
    uint32_t total1 = 0;
    uint32_t any = 0;
    int32_t left = of->pixels;
    for (; left >= 2; left -= 2) {
        const uint32_t first = (uint8_t)error[0] | (uint32_t)(uint8_t)error[next] << 8;
        error += outputs;
        const uint32_t second = (uint8_t)error[0] | (uint32_t)(uint8_t)error[next] << 8;
        error += outputs;
        const uint32_t both = first | second << 16;
        any |= both;
        words[0] = fg_even_bytes(both);
        words[1] = fg_odd_bytes(both);
        total0 = fg_dot_pair(words[0], 0x00010001U, total0);
        total1 = fg_dot_pair(words[1], 0x00010001U, total1);
        words += FG_TILE_ROWS;
    }
    if (left != 0) {
        words[0] = (uint32_t)error[0] & 0xFFFFU;
        words[1] = (uint32_t)error[next] & 0xFFFFU;
        any |= words[0] | words[1];
        total0 = fg_dot_pair(words[0], 1U, total0);
        total1 = fg_dot_pair(words[1], 1U, total1);
    }
    if (any == 0U) {
        return false;
    }
    const int32_t zero = of->layer->input_zero;
    int32_t *const sums1 = of->sums + of->channels;
    for (int32_t i = 0; i < of->channels; ++i) {
        of->sums[i] = -zero * (int32_t)total0;
        sums1[i] = -zero * (int32_t)total1;
    }
    return true;
}

/* Adds the products of all pixels. */
static FG_NOINLINE void multiply(const part *of) {
    const uint32_t *const end = of->rows + of->pairs * FG_TILE_ROWS;
    const uint32_t *inputs = of->inputs;
    uint32_t *sums = (uint32_t *)of->sums;
    for (int32_t i = 0; i < of->channels; i += FG_TILE_COLUMNS) {
        fg_add_tile(sums + i, sums + of->channels + i, of->rows, end, inputs);
        inputs += of->pairs * FG_TILE_COLUMNS;
    }
}

static void learn_part(const part *of, const fg_learning *learning, int16_t *masters,
                       int8_t *shadow) {
    const fg_backward *const layer = of->layer;
    const int32_t taps = layer->window.kernel_h * layer->window.kernel_w * layer->in_channels;
    const int32_t count = fg_min(layer->in_channels - of->channel, of->channels);
    const int32_t first = of->tap * layer->in_channels + of->channel;
    int32_t at = first;
    for (int32_t output = 0; output < layer->trained; output += FG_TILE_ROWS) {
        const int32_t rows = fg_min(layer->trained - output, FG_TILE_ROWS);
        if (!spread_errors(of, output, rows - 1)) {
            at += rows * taps; /* nothing changes */
            continue;
        }
        multiply(of);
        const int32_t *sums = of->sums;
        for (int32_t row = 0; row < rows; ++row) {
            fg_learn_weights(learning, output + row, first, count, sums, 1, masters + at,
                             shadow + at);
            sums += of->channels;
            at += taps;
        }
    }
}

/* A single pixel needs no sums. */
static void learn_pixel(const fg_backward *layer, const fg_learning *learning, const int8_t *errors,
                        const int8_t *input, int32_t *sums, int16_t *masters, int8_t *shadow) {
    const int32_t inputs = layer->in_channels;
    const int32_t zero = layer->input_zero;
    for (int32_t output = 0; output < layer->trained; ++output) {
        const int32_t error = errors[output];
        if (error != 0 &&
            !fg_learn_pixel(learning, output, error, input, zero, inputs, masters, shadow)) {
            for (int32_t i = 0; i < inputs; ++i) {
                sums[i] = error * (input[i] - zero);
            }
            fg_learn_weights(learning, output, 0, inputs, sums, 1, masters, shadow);
        }
        masters += inputs;
        shadow += inputs;
    }
}

bool fg_conv2d_learn_tiles(const fg_backward *layer, const fg_learning *learning,
                           const int8_t *errors, const int8_t *input, int32_t *scratch,
                           int16_t *masters, int8_t *shadow) {
    const fg_window *const window = &layer->window;
    if (window->in_h * window->in_w == 1 && window->kernel_h * window->kernel_w == 1) {
        learn_pixel(layer, learning, errors, input, scratch, masters, shadow);
        return true;
    }
    const fg_learn_layout layout = fg_learn_layout_of(layer);
    if (layout.columns == 0) {
        return false;
    }
    part of = {.layer = layer,
               .errors = errors,
               .input = input,
               .pixels = window->out_h * window->out_w,
               .pairs = layout.pairs,
               .inputs = (uint32_t *)scratch,
               .rows = (uint32_t *)scratch + layout.columns * layout.pairs,
               .sums = scratch + (layout.columns + FG_TILE_ROWS) * layout.pairs};
    for (of.tap = 0; of.tap < window->kernel_h * window->kernel_w; ++of.tap) {
        for (of.channel = 0; of.channel < layer->in_channels; of.channel += layout.columns) {
            const int32_t left = (layer->in_channels - of.channel + 3) / 4 * 4;
            of.channels = fg_min(left, layout.columns);
            for (int32_t i = 0; i < of.channels; i += FG_TILE_COLUMNS) {
                spread_inputs(&of, of.channel + i, of.inputs + i * layout.pairs);
            }
            learn_part(&of, learning, masters, shadow);
        }
    }
    return true;
}

#endif
