/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "../fg_patch.h"
#include "../fg_target.h"
#include "fg_depthwise_mve.h"
#include "fg_scale_mve.h"

#if FG_MVE

/* The image is computed in strips of four channels, a lane for each. The rows that a window reaches
 * lie in planes, one per channel, column by column with the border filled in: all taps of a window
 * are neighbours there, and one column begins kernel_h bytes after the last. Going down by a row
 * then means to begin `stride_h` bytes further on, once the new rows are in place of those that are
 * no longer seen; a few bytes at a plane's end are room for that. */

#define LANES       FG_WORD_LANES
#define CHUNK_BYTES (LANES * FG_BYTE_LANES)

/* What the pixels of a strip share. */
typedef struct strip {
    int32_t bias[LANES], value[LANES], shift[LANES];
    const fg_depthwise_conv2d_params *params;
    fg_finish finish;
    int32_t channel, count;      /* the first one; LANES or, at the end, fewer */
    int32_t columns;             /* that windows see, border included */
    int32_t pitch, room, chunks; /* of a plane in bytes, what it is longer; vectors of a filter */
    int8_t *planes;
    int8_t *filters; /* [chunks][LANES][16], zeros at the end */
} strip;

bool fg_depthwise_has_planes(const fg_depthwise_conv2d_params *params) {
    const fg_window *window = &params->window;
    const bool enough = window->kernel_h * window->kernel_w >= LANES;
    return params->multiplier == 1 && enough && (window->kernel_w == 1 || window->dilation_w == 1);
}

static FG_NOINLINE void begin_strip(strip *of, const int8_t *weights, const int32_t *bias) {
    const fg_window *window = &of->params->window;
    const fg_channel_scale *scale = &of->params->scale;
    const int32_t channels = of->params->in_channels;
    const int32_t count = of->count;
    fg_store_words(of->bias, fg_load_first_words(bias + of->channel, count));
    fg_store_words(of->value, fg_load_first_words(scale->value + of->channel, count));
    fg_store_words(of->shift, fg_load_first_as_words(scale->shift + of->channel, count));
    fg_fill_bytes(of->filters, 0, of->chunks * CHUNK_BYTES);
    const fg_words distances = fg_word_steps(FG_BYTE_LANES);
    const int32_t row = window->kernel_w * channels;
    int8_t *to = of->filters;
    int32_t room = FG_BYTE_LANES; /* in the vectors of this chunk */
    weights += of->channel;
    for (int32_t kx = window->kernel_w; kx > 0; --kx) {
        const int8_t *from = weights;
        for (int32_t ky = window->kernel_h; ky > 0; --ky) {
            const fg_words some =
                count == LANES ? fg_load_as_words(from) : fg_load_first_as_words(from, count);
            fg_scatter_as_bytes(to++, distances, some);
            from += row;
            if (--room == 0) {
                to += CHUNK_BYTES - FG_BYTE_LANES;
                room = FG_BYTE_LANES;
            }
        }
        weights += channels;
    }
}

static FG_INLINE int8_t *put_columns(int8_t *to, int32_t step, fg_words distances,
                                     const int8_t *from, int32_t channels, int32_t lanes,
                                     int32_t count) {
    for (; count > 0; --count) {
        const fg_words seen =
            lanes == LANES ? fg_load_as_words(from) : fg_load_first_as_words(from, lanes);
        fg_scatter_as_bytes(to, distances, seen);
        from += channels;
        to += step;
    }
    return to;
}

static FG_INLINE int8_t *put_border(int8_t *to, int32_t step, fg_words distances, fg_words border,
                                    int32_t count) {
    for (; count > 0; --count) {
        fg_scatter_as_bytes(to, distances, border);
        to += step;
    }
    return to;
}

/* Fills a row of all planes, from a row of the input or, above and below, from NULL. */
static FG_NOINLINE void fill_row(const strip *of, const int8_t *row, int8_t *to) {
    const fg_window *window = &of->params->window;
    const int32_t channels = of->params->in_channels;
    const int32_t step = window->kernel_h;
    const fg_words distances = fg_word_steps(of->pitch);
    const fg_words border = fg_all_words(of->params->input_zero);
    const int32_t before = row == NULL ? of->columns : window->pad_left;
    const int32_t inside = fg_clamp(of->columns - before, 0, window->in_w);
    to = put_border(to, step, distances, border, before);
    if (of->count == LANES) {
        to = put_columns(to, step, distances, row, channels, LANES, inside);
    } else {
        to = put_columns(to, step, distances, row, channels, of->count, inside);
    }
    put_border(to, step, distances, border, of->columns - before - inside);
}

/* Rows `known` and below of the window at `top`; planes begin at `begin`. */
static void fill_rows(const strip *of, const int8_t *input, int32_t top, int32_t known,
                      int8_t *begin) {
    const fg_window *window = &of->params->window;
    for (int32_t ky = known; ky < window->kernel_h; ++ky) {
        const int32_t y = top + ky * window->dilation_h;
        const bool inside = y >= 0 && y < window->in_h;
        fill_row(of,
                 inside ? input + y * window->in_w * of->params->in_channels + of->channel : NULL,
                 begin + ky);
    }
}

/* One row of outputs. */
static FG_INLINE void convolve_row(const strip *of, const int8_t *begin, int8_t *output,
                                   bool one_chunk, bool whole, fg_finish finish) {
    const fg_window *window = &of->params->window;
    const fg_word_limits limits = fg_word_limits_of(&of->params->output);
    const int32_t channels = of->params->in_channels;
    const int32_t step = window->stride_w * window->kernel_h;
    const int32_t pitch = of->pitch;
    const int8_t *filters = of->filters;
    const fg_bytes filter0 = fg_load_bytes(filters);
    const fg_bytes filter1 = fg_load_bytes(filters + FG_BYTE_LANES);
    const fg_bytes filter2 = fg_load_bytes(filters + 2 * FG_BYTE_LANES);
    const fg_bytes filter3 = fg_load_bytes(filters + 3 * FG_BYTE_LANES);
    for (int32_t column = window->out_w; column > 0; --column) {
        fg_words sums;
        if (one_chunk) {
            sums = fg_dot_each(fg_load_bytes(begin), filter0, fg_load_bytes(begin + pitch), filter1,
                               fg_load_bytes(begin + 2 * pitch), filter2,
                               fg_load_bytes(begin + 3 * pitch), filter3);
        } else {
            sums = fg_dot_each_long(begin, pitch, filters, of->chunks);
        }
        begin += step;
        sums = fg_add_words(sums, fg_load_words(of->bias));
        sums = fg_scale_each(sums, fg_load_words(of->value), fg_load_words(of->shift), finish);
        sums = fg_clamp_words(sums, &limits);
        if (whole) {
            fg_store_as_bytes(output, sums);
        } else {
            fg_store_first_as_bytes(output, sums, of->count);
        }
        output += channels;
    }
}

static FG_NOINLINE void convolve_small_positive(const strip *of, const int8_t *begin,
                                                int8_t *output) {
    convolve_row(of, begin, output, true, true, FG_FINISH_POSITIVE);
}

static FG_NOINLINE void convolve_small(const strip *of, const int8_t *begin, int8_t *output) {
    convolve_row(of, begin, output, true, true, FG_FINISH_QUICK);
}

static FG_NOINLINE void convolve_large_positive(const strip *of, const int8_t *begin,
                                                int8_t *output) {
    convolve_row(of, begin, output, false, true, FG_FINISH_POSITIVE);
}

static FG_NOINLINE void convolve_large(const strip *of, const int8_t *begin, int8_t *output) {
    convolve_row(of, begin, output, false, true, FG_FINISH_QUICK);
}

static FG_NOINLINE void convolve_any(const strip *of, const int8_t *begin, int8_t *output) {
    convolve_row(of, begin, output, false, false, FG_FINISH_ANY);
}

static void convolve_best(const strip *of, const int8_t *begin, int8_t *output) {
    const bool positive = of->finish == FG_FINISH_POSITIVE;
    if (of->finish == FG_FINISH_ANY || of->count != LANES) {
        convolve_any(of, begin, output);
    } else if (of->chunks == 1 && positive) {
        convolve_small_positive(of, begin, output);
    } else if (of->chunks == 1) {
        convolve_small(of, begin, output);
    } else if (positive) {
        convolve_large_positive(of, begin, output);
    } else {
        convolve_large(of, begin, output);
    }
}

static void convolve_strip(const strip *of, const int8_t *input, int8_t *output) {
    const fg_window *window = &of->params->window;
    const int32_t stride = window->stride_h;
    const int32_t kept = window->dilation_h == 1 ? fg_max(window->kernel_h - stride, 0) : 0;
    int32_t begin = 0; /* where planes begin, counted from where their memory does */
    for (int32_t row = 0; row < window->out_h; ++row) {
        int32_t known = 0;
        if (row != 0 && kept != 0) {
            known = kept;
            begin += stride;
            if (begin > of->room) {
                fg_copy_bytes(of->planes, of->planes + begin, LANES * of->pitch - begin);
                begin = 0;
            }
        }
        fill_rows(of, input, fg_window_top(window, row), known, of->planes + begin);
        convolve_best(of, of->planes + begin, output);
        output += window->out_w * of->params->in_channels;
    }
}

void fg_depthwise_planes(const fg_depthwise_conv2d_params *params, const int8_t *weights,
                         const int32_t *bias, const int8_t *input, int8_t *scratch,
                         int8_t *output) {
    const fg_window *window = &params->window;
    const int32_t taps = window->kernel_h * window->kernel_w;
    strip of;
    of.params = params;
    of.finish = fg_finish_of(&params->scale, &params->output, params->in_channels);
    of.columns = (window->out_w - 1) * window->stride_w + window->kernel_w;
    of.chunks = (taps + FG_BYTE_LANES - 1) / FG_BYTE_LANES;
    of.room = (FG_BYTE_LANES * taps - of.chunks * CHUNK_BYTES) / LANES;
    of.pitch = of.columns * window->kernel_h + of.room;
    of.planes = scratch;
    of.filters = scratch + LANES * of.pitch;
    for (of.channel = 0; of.channel < params->in_channels; of.channel += LANES) {
        of.count = fg_min(params->in_channels - of.channel, LANES);
        begin_strip(&of, weights, bias);
        convolve_strip(&of, input, output + of.channel);
    }
}

#endif
