/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "../../kernels/fg_fixed_point.h"
#include "../scratch.h"
#include "../window.h"
#include "learn_mve.h"

#if FG_MVE

/* Tiles of eight output channels and eight input channels at a tap. The errors of the ones and what
 * the output's pixels see of the others are turned, so that those of all pixels are neighbours: a
 * sum is an inner product over pixels then. The input's zero point need not be subtracted from
 * each: sums begin with what that comes to. */

#define TILE FG_HALF_LANES

typedef struct tile {
    const fg_backward *layer;
    const int8_t *errors;
    const int8_t *input;
    int32_t pixels, line; /* of the output; at a time, an even number */
    int32_t output, outputs;
    int32_t tap, channel, channels; /* of the input */
    int32_t *sums;                  /* [TILE][TILE] */
    int8_t *seen, *turned;          /* [TILE][line]: inputs, errors */
} tile;

/* Sums of the errors of the tile's output channels. */
static FG_NOINLINE void total_errors(const tile *of, int32_t total[TILE]) {
    const int32_t step = of->layer->out_channels;
    const int8_t *error = of->errors + of->output;
    const int32_t low = fg_min(of->outputs, FG_WORD_LANES);
    const int32_t high = of->outputs - low;
    fg_words first = fg_all_words(0);
    fg_words second = fg_all_words(0);
    for (int32_t pixel = of->pixels; pixel > 0; --pixel) {
        first = fg_add_words(first, fg_load_first_as_words(error, low));
        second = fg_add_words(second, fg_load_first_as_words(error + low, high));
        error += step;
    }
    fg_store_words(total, first);
    fg_store_words(total + FG_WORD_LANES, second);
}

/* Turns `lanes` channels of `count` neighbouring pixels, `step` bytes from one to the next. */
static FG_INLINE void turn(const int8_t *from, int32_t step, int32_t lanes, int32_t count,
                           fg_halves distances, int8_t *to) {
    if (lanes == TILE) {
        for (; count > 0; --count) {
            fg_scatter_halves_as_bytes(to++, distances, fg_load_as_halves(from));
            from += step;
        }
    } else {
        for (; count > 0; --count) {
            fg_scatter_halves_as_bytes(to++, distances, fg_load_first_as_halves(from, lanes));
            from += step;
        }
    }
}

/* `count` pixels' errors from pixel `first` on. */
static FG_NOINLINE void turn_errors(const tile *of, int32_t first, int32_t count) {
    const int32_t step = of->layer->out_channels;
    turn(of->errors + first * step + of->output, step, of->outputs, count, fg_half_steps(of->line),
         of->turned);
}

/* What as many pixels see through a window of 1 x 1 that leaves none out. */
static FG_NOINLINE void turn_same(const tile *of, int32_t first, int32_t count) {
    const int32_t step = of->layer->in_channels;
    turn(of->input + first * step + of->channel, step, of->channels, count, fg_half_steps(of->line),
         of->seen);
}

/* The same for any window; padding holds the zero point. */
static FG_NOINLINE void turn_inputs(const tile *of, int32_t first, int32_t count) {
    const fg_window *const window = &of->layer->window;
    const int32_t inputs = of->layer->in_channels;
    const int32_t ky = of->tap / window->kernel_w;
    const int32_t kx = of->tap % window->kernel_w;
    const fg_halves distances = fg_half_steps(of->line);
    const fg_halves border = fg_all_halves(of->layer->input_zero);
    int32_t row = first / window->out_w;
    int32_t column = first % window->out_w;
    int8_t *to = of->seen;
    for (; count > 0; --count) {
        const int32_t y = fg_tap_row(window, row, ky);
        const int32_t x = fg_tap_column(window, column, kx);
        fg_halves seen = border;
        if (y >= 0 && x >= 0) {
            const int8_t *from = of->input + (y * window->in_w + x) * inputs + of->channel;
            seen = fg_load_first_as_halves(from, of->channels);
        }
        fg_scatter_halves_as_bytes(to++, distances, seen);
        if (++column == window->out_w) {
            column = 0;
            ++row;
        }
    }
}

/* Adds the products of `count` pixels to the sums. */
static FG_NOINLINE void multiply(const tile *of, int32_t count) {
    const int32_t line = of->line;
    const int8_t *const seen = of->seen;
    const int8_t *const low[FG_WORD_LANES] = {seen, seen + line, seen + 2 * line, seen + 3 * line};
    const int8_t *const high[FG_WORD_LANES] = {low[0] + 4 * line, low[1] + 4 * line,
                                               low[2] + 4 * line, low[3] + 4 * line};
    const int8_t *error = of->turned;
    int32_t *sums = of->sums;
    for (int32_t output = of->outputs; output > 0; --output) {
        const fg_words more = fg_dot_four_long(low, error, count);
        const fg_words rest = fg_dot_four_long(high, error, count);
        fg_store_words(sums, fg_add_words(fg_load_words(sums), more));
        sums += FG_WORD_LANES;
        fg_store_words(sums, fg_add_words(fg_load_words(sums), rest));
        sums += FG_WORD_LANES;
        error += line;
    }
}

/* Where the sums begin. */
static void begin_sums(const tile *of, const int32_t total[TILE]) {
    for (int32_t output = 0; output < of->outputs; ++output) {
        const fg_words start = fg_all_words(-of->layer->input_zero * total[output]);
        fg_store_words(of->sums + output * TILE, start);
        fg_store_words(of->sums + output * TILE + FG_WORD_LANES, start);
    }
}

/* Changes the weights of the tile. */
static FG_NOINLINE void learn_tile(const tile *of, const fg_learning *learning,
                                   const fg_vector_pace paces[TILE], int16_t *masters,
                                   int8_t *shadow) {
    const int32_t inputs = of->layer->in_channels;
    const int32_t row = of->layer->window.kernel_h * of->layer->window.kernel_w * inputs;
    const int32_t first = of->tap * inputs + of->channel;
    const bool whole = of->channels == TILE && first % 2 == 0;
    int32_t at = of->output * row + first;
    const int32_t *sums = of->sums;
    for (int32_t output = 0; output < of->outputs; ++output) {
        if (!whole || !fg_learn_eight(&paces[output], first, sums, masters + at, shadow + at)) {
            fg_learn_weights(learning, of->output + output, first, of->channels, sums, 1,
                             masters + at, shadow + at);
        }
        sums += TILE;
        at += row;
    }
}

static void learn_outputs(tile *of, const fg_learning *learning, int16_t *masters, int8_t *shadow) {
    const fg_window *const window = &of->layer->window;
    const int32_t inputs = of->layer->in_channels;
    const bool same = window->kernel_h == 1 && window->kernel_w == 1 && window->stride_h == 1 &&
                      window->stride_w == 1 && window->pad_top == 0 && window->pad_left == 0;
    int32_t total[TILE];
    fg_vector_pace paces[TILE];
    total_errors(of, total);
    for (int32_t output = 0; output < of->outputs; ++output) {
        paces[output] = fg_vector_pace_of(learning, of->output + output);
    }
    if (of->pixels <= of->line) {
        turn_errors(of, 0, of->pixels);
    }
    for (of->tap = 0; of->tap < window->kernel_h * window->kernel_w; ++of->tap) {
        for (of->channel = 0; of->channel < inputs; of->channel += TILE) {
            of->channels = fg_min(inputs - of->channel, TILE);
            begin_sums(of, total);
            for (int32_t first = 0; first < of->pixels; first += of->line) {
                const int32_t count = fg_min(of->pixels - first, of->line);
                if (of->pixels > of->line) {
                    turn_errors(of, first, count);
                }
                if (same) {
                    turn_same(of, first, count);
                } else {
                    turn_inputs(of, first, count);
                }
                multiply(of, count);
            }
            learn_tile(of, learning, paces, masters, shadow);
        }
    }
}

void fg_conv2d_learn_weights(const fg_backward *layer, const fg_learning *learning,
                             const int8_t *errors, const int8_t *input, int32_t *scratch,
                             int16_t *masters, int8_t *shadow) {
    const int32_t pixels = layer->window.out_h * layer->window.out_w;
    tile of = {.layer = layer,
               .errors = errors,
               .input = input,
               .pixels = pixels,
               .line = fg_min((pixels + 1) / 2 * 2, FG_LINE_PIXELS),
               .sums = scratch};
    of.seen = (int8_t *)(scratch + TILE * TILE);
    of.turned = of.seen + TILE * of.line;
    for (of.output = 0; of.output < layer->trained; of.output += TILE) {
        of.outputs = fg_min(layer->trained - of.output, TILE);
        learn_outputs(&of, learning, masters, shadow);
    }
}

#endif
