/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "../../kernels/fg_fixed_point.h"
#include "../error_pass.h"
#include "../scratch.h"
#include "store_mve.h"
#include "sums_mve.h"

#if FG_MVE

/* The input is computed in blocks of neighbouring pixels of a row. For each row of the window the
 * errors that the block needs are scaled to int16, of the output channels that have any; for each
 * tap and a tile of input channels the weights are turned, so that those of all these channels are
 * neighbours. A sum is an inner product over them then. Where a pixel depends on one pixel only,
 * sums are whole after one tap; otherwise they lie in scratch memory. */

#define TILE FG_HALF_LANES /* input channels */

enum { MOST_PIXELS = FG_SUMS_PIXELS / FG_THREE_PIXELS * FG_THREE_PIXELS };

typedef struct block {
    const fg_backward *layer;
    const fg_split_weights *weights;
    fg_error_source from;
    fg_window window;
    int32_t line;            /* output channels, an even number */
    int32_t pitch;           /* words from a pixel's sums to the next one's */
    int32_t x, width;        /* of the input: the block's first pixel, and their number */
    int32_t column, columns; /* of the output: the first one that matters, and their number */
    int32_t *sums;
    int16_t *spread;        /* [columns][line] */
    int8_t *turned;         /* [TILE][line] */
    int16_t *listed;        /* output channels with errors */
    int32_t count, trained; /* of these, and of those among them that train */
} block;

/* One bit for each of `count` channels, 16 or fewer, from `first` on: whether any column of the row
 * has an error. */
static FG_NOINLINE uint32_t find_errors(const block *of, int32_t first, int32_t count) {
    const int32_t outputs = of->layer->out_channels;
    if (of->from.errors != NULL) {
        return fg_any_bytes(of->from.errors + first, outputs, of->columns, count);
    }
    uint32_t found = 0;
    for (int32_t column = 0; column < of->columns; ++column) {
        for (int32_t lane = 0; lane < count; ++lane) {
            const int16_t slope = of->from.gradient[first + column * outputs + lane];
            found |= (uint32_t)(slope != 0) << lane;
        }
    }
    return found;
}

/* `first` is the row's first error that matters. */
static FG_NOINLINE void list_channels(block *of, int32_t first) {
    const int32_t outputs = of->layer->out_channels;
    int16_t *next = of->listed;
    of->trained = 0;
    for (int32_t channel = 0; channel < outputs; channel += FG_BYTE_LANES) {
        const int32_t count = fg_min(outputs - channel, FG_BYTE_LANES);
        uint32_t found = find_errors(of, first + channel, count);
        for (int32_t own = channel; found != 0U; ++own) {
            if ((found & 1U) != 0U) {
                *next++ = (int16_t)own;
                of->trained += own < of->layer->trained;
            }
            found >>= 1;
        }
    }
    of->count = (int32_t)(next - of->listed);
}

/* A pixel's errors in a common unit. Doubling high multiplication divides by 2^15: errors are moved
 * up by what that is too much. */
static FG_NOINLINE void spread_errors(const block *of, const int8_t *errors, int16_t *to) {
    const fg_error_ratio *const ratio = &of->layer->ratio;
    const int32_t up = 15 - ratio->shift;
    const int16_t *listed = of->listed;
    for (int32_t left = of->count; left > 0; left -= FG_HALF_LANES) {
        const int32_t count = fg_min(left, FG_HALF_LANES);
        const fg_halves at = fg_load_first_halves(listed, count);
        const fg_halves raised = fg_shift_half(fg_gather_as_halves(errors, at, count), up);
        const fg_halves factor = ratio->step == 0 ? fg_all_halves(*ratio->value)
                                                  : fg_gather_halves(ratio->value, at, count);
        fg_store_first_halves(to, fg_high_mul_halves(raised, factor), count);
        to += FG_HALF_LANES;
        listed += FG_HALF_LANES;
    }
}

/* The same for any shift, and for the gradient of the loss. */
static FG_NOINLINE void spread_any(const block *of, int32_t first, int16_t *to) {
    const fg_error_ratio *const ratio = &of->layer->ratio;
    const int32_t half = (int32_t)(UINT32_C(1) << ((uint32_t)ratio->shift - 1U));
    for (int32_t i = 0; i < of->count; ++i) {
        const int32_t o = of->listed[i];
        const int32_t error =
            of->from.errors != NULL ? of->from.errors[first + o] : of->from.gradient[first + o];
        to[i] = (int16_t)((error * ratio->value[o * ratio->step] + half) >> ratio->shift);
    }
}

/* Those of all columns of an output row that matter. */
static void spread_row(block *of, int32_t row) {
    const int32_t outputs = of->layer->out_channels;
    int32_t first = (row * of->window.out_w + of->column) * outputs;
    int16_t *to = of->spread;
    list_channels(of, first);
    for (int32_t column = 0; column < of->columns; ++column) {
        if (of->from.errors != NULL && of->layer->ratio.shift <= 15) {
            spread_errors(of, of->from.errors + first, to);
        } else {
            spread_any(of, first, to);
        }
        first += outputs;
        to += of->line;
    }
}

/* `count` listed channels; the weights of channel o begin at (o - first) * distance. */
static FG_NOINLINE int8_t *turn_rows(const int8_t *weights, int32_t first, const int16_t *listed,
                                     int32_t count, int32_t distance, int32_t lanes, int32_t line,
                                     int8_t *to) {
    const fg_halves distances = fg_half_steps(line);
    if ((TILE - 1) * line > UINT16_MAX) {
        for (; count > 0; --count) {
            const int8_t *const from = weights + (*listed++ - first) * distance;
            for (int32_t lane = 0; lane < lanes; ++lane) {
                to[lane * line] = from[lane];
            }
            ++to;
        }
    } else if (lanes == TILE) {
        for (; count > 0; --count) {
            const int8_t *const from = weights + (*listed++ - first) * distance;
            fg_scatter_halves_as_bytes(to++, distances, fg_load_as_halves(from));
        }
    } else {
        for (; count > 0; --count) {
            const int8_t *const from = weights + (*listed++ - first) * distance;
            fg_scatter_halves_as_bytes(to++, distances, fg_load_first_as_halves(from, lanes));
        }
    }
    return to;
}

/* The weights of input channels channel .. channel + lanes - 1 at a tap, for all listed channels.
 */
static void turn_weights(const block *of, int32_t tap, int32_t channel, int32_t lanes) {
    const int32_t inputs = of->layer->in_channels;
    const int32_t distance = of->window.kernel_h * of->window.kernel_w * inputs;
    const int32_t at = tap * inputs + channel;
    const int32_t frozen = of->count - of->trained;
    int8_t *to = of->turned;
    if (of->trained != 0) {
        to = turn_rows(of->weights->trained + at, 0, of->listed, of->trained, distance, lanes,
                       of->line, to);
    }
    if (frozen != 0) {
        (void)turn_rows(of->weights->frozen + at, of->layer->trained, of->listed + of->trained,
                        frozen, distance, lanes, of->line, to);
    }
}

/* Adds what goes through one tap to the sums of input channels channel .. channel + lanes - 1. */
static FG_NOINLINE void add_tap(const block *of, int32_t kx, int32_t channel, int32_t lanes) {
    const int32_t outputs = of->count;
    const int32_t line = of->line;
    const int8_t *const turned = of->turned;
    const int8_t *const low[FG_WORD_LANES] = {turned, turned + line, turned + 2 * line,
                                              turned + 3 * line};
    const int8_t *const high[FG_WORD_LANES] = {low[0] + 4 * line, low[1] + 4 * line,
                                               low[2] + 4 * line, low[3] + 4 * line};
    const int32_t stride = of->window.stride_w;
    /* Pixel of the input, counted from the block's first one, that the first column sees. */
    int32_t seen = of->column * stride - of->window.pad_left + kx * of->window.dilation_w - of->x;
    const int16_t *row = of->spread;
    for (int32_t left = of->columns; left > 0; --left) {
        if (seen >= 0 && seen < of->width) {
            int32_t *const sums = of->sums + seen * of->pitch + channel;
            const fg_words more = fg_dot_four_halves(low, row, outputs);
            fg_store_words(sums, fg_add_words(fg_load_words(sums), more));
            if (lanes > FG_WORD_LANES) {
                const fg_words rest = fg_dot_four_halves(high, row, outputs);
                fg_store_words(sums + FG_WORD_LANES,
                               fg_add_words(fg_load_words(sums + FG_WORD_LANES), rest));
            }
        }
        seen += stride;
        row += line;
    }
}

/* All sums of the block in row `y` of the input. */
static void add_block(block *of, int32_t y) {
    const fg_window *const window = &of->window;
    const int32_t inputs = of->layer->in_channels;
    const int32_t bytes = of->width * of->pitch * (int32_t)sizeof *of->sums;
    fg_fill_bytes((int8_t *)of->sums, 0, bytes);
    if (of->columns <= 0) {
        return;
    }
    for (int32_t ky = 0; ky < window->kernel_h; ++ky) {
        const int32_t row = fg_reader_row(window, y, ky);
        if (row < 0) {
            continue;
        }
        spread_row(of, row);
        if (of->count == 0) {
            continue;
        }
        for (int32_t kx = 0; kx < window->kernel_w; ++kx) {
            for (int32_t channel = 0; channel < inputs; channel += TILE) {
                const int32_t lanes = fg_min(inputs - channel, TILE);
                turn_weights(of, ky * window->kernel_w + kx, channel, lanes);
                add_tap(of, kx, channel, lanes);
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

/* Errors of no channel, so that a pixel has a whole vector of them. */
static FG_NOINLINE void fill_up(const block *of) {
    int16_t *to = of->spread;
    for (int32_t column = of->columns; column > 0; --column) {
        for (int32_t place = of->count; place < TILE; ++place) {
            to[place] = 0;
        }
        to += of->line;
    }
}

/* The sums of a tile's input channels at all pixels, three at a time. */
static FG_NOINLINE void sum_tile(const block *of, int32_t *sums) {
    const int32_t last = of->width - 1;
    const int32_t count = fg_max(of->count, TILE);
    for (int32_t pixel = 0; pixel <= last; pixel += FG_THREE_PIXELS) {
        const int16_t *const first = of->spread + pixel * of->line;
        const int16_t *const errors[FG_THREE_PIXELS] = {
            first, of->spread + fg_min(pixel + 1, last) * of->line,
            of->spread + fg_min(pixel + 2, last) * of->line};
        fg_dot_halves(errors, of->turned, of->line, count, TILE, sums + pixel);
    }
}

/* A window of one tap: everything from the errors to what is stored. */
static void compute_block(block *of, const fg_storing *storing, int32_t *sums, fg_peaks *peaks) {
    const int32_t inputs = of->layer->in_channels;
    of->column = of->x;
    of->columns = of->width;
    spread_row(of, 0);
    if (of->count < TILE) {
        fill_up(of);
    }
    for (int32_t channel = 0; channel < inputs; channel += TILE) {
        const int32_t lanes = fg_min(inputs - channel, TILE);
        const uint32_t index = (uint32_t)(of->x * inputs + channel);
        turn_weights(of, 0, channel, lanes);
        sum_tile(of, sums);
        if (lanes == TILE && storing->shift != 0 && storing->made != NULL) {
            fg_store_block(storing, sums, of->width, index, (uint32_t)inputs, peaks);
        } else {
            fg_store_any_block(storing, sums, lanes, of->width, index, (uint32_t)inputs, peaks);
        }
    }
}

/* What the other way takes for sums is room for more pixels here. */
static FG_NOINLINE void compute_pixels(block *of, const fg_error_layout *layout,
                                       const fg_storing *storing, fg_peaks *peaks) {
    int32_t sums[FG_SUMS_PIXELS * TILE];
    fg_fill_bytes((int8_t *)sums, 0, (int32_t)sizeof sums);
    const int32_t room = fg_min((layout->sums + layout->spread) / layout->pairs, MOST_PIXELS);
    of->spread = (int16_t *)(void *)of->sums;
    for (of->x = 0; of->x < of->window.in_w; of->x += room) {
        of->width = fg_min(of->window.in_w - of->x, room);
        compute_block(of, storing, sums, peaks);
    }
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
        .line = 2 * layout.pairs,
        .pitch = layout.pitch,
        .sums = scratch,
        .spread = (int16_t *)(void *)(scratch + layout.sums),
        .turned = (int8_t *)(scratch + layout.sums + layout.spread),
        .listed = (int16_t *)(void *)(scratch + layout.sums + layout.spread + 4 * layout.pairs),
    };
    fg_peaks peaks = {0U, 0U};
    if (fg_error_is_pointwise(&of.window) && of.window.in_h == 1 && of.line >= TILE) {
        const fg_storing storing = {mask, shift, made};
        compute_pixels(&of, &layout, &storing, &peaks);
        return peaks;
    }
    uint32_t index = 0;
    for (int32_t y = 0; y < of.window.in_h; ++y) {
        for (of.x = 0; of.x < of.window.in_w; of.x += layout.block) {
            of.width = fg_min(of.window.in_w - of.x, layout.block);
            find_columns(&of);
            add_block(&of, y);
            for (int32_t pixel = 0; pixel < of.width; ++pixel) {
                fg_error_store(of.sums + pixel * of.pitch, inputs, mask, index, shift, made,
                               &peaks);
                index += inputs;
            }
        }
    }
    return peaks;
}

#endif
