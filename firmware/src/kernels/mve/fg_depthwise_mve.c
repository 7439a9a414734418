/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_depthwise_mve.h"

#include <stddef.h>

#include "../fg_patch.h"
#include "../fg_target.h"
#include "fg_block_mve.h"

#if FG_MVE

/* The image is computed in strips of eight channels. The rows that a window reaches lie in planes,
 * one per channel, column by column with the border filled in: all taps of a window are neighbours
 * there, and one column begins kernel_h bytes after the last. Going down by a row then means to
 * begin `stride_h` bytes further on, once the new rows are in place of those that are no longer
 * seen; a few bytes at a plane's end are room for that. Filters are a whole number of vectors long,
 * with zeros at their ends: windows may see more than theirs. */

#define LANES FG_BLOCK_CHANNELS

/* Of filters that stay in registers. */
enum {
    WIDE_BYTES = 2 * FG_BYTE_LANES,
    LONG_BYTES = 4 * FG_BYTE_LANES,
};

/* What the pixels of a strip share. */
typedef struct strip {
    const fg_depthwise_conv2d_params *params;
    fg_finisher finisher;
    int32_t channel, count; /* the first one; LANES or, at the end, fewer */
    int32_t columns;        /* that windows see, border included */
    int32_t pitch, bytes;   /* of a plane, of a filter */
    int8_t *planes;
    int8_t *filters; /* [LANES][bytes] */
    int32_t *sums;
} strip;

static int32_t filter_bytes(int32_t taps) {
    if (taps > WIDE_BYTES && taps <= LONG_BYTES) {
        return LONG_BYTES;
    }
    return (taps + FG_BYTE_LANES - 1) / FG_BYTE_LANES * FG_BYTE_LANES;
}

static int32_t pitch_of(const fg_window *window) {
    const int32_t columns = (window->out_w - 1) * window->stride_w + window->kernel_w;
    return columns * window->kernel_h + FG_PLANE_ROOM;
}

bool fg_depthwise_has_planes(const fg_depthwise_conv2d_params *params) {
    const fg_window *window = &params->window;
    return params->multiplier == 1 && (window->kernel_w == 1 || window->dilation_w == 1) &&
           (LANES - 1) * pitch_of(window) <= UINT16_MAX;
}

static FG_NOINLINE void begin_strip(const strip *of, const int8_t *weights) {
    const fg_window *window = &of->params->window;
    const int32_t channels = of->params->in_channels;
    const int32_t count = of->count;
    fg_fill_bytes(of->filters, 0, LANES * of->bytes);
    const fg_halves distances = fg_half_steps(of->bytes);
    const int32_t row = window->kernel_w * channels;
    int8_t *to = of->filters;
    weights += of->channel;
    for (int32_t kx = window->kernel_w; kx > 0; --kx) {
        const int8_t *from = weights;
        for (int32_t ky = window->kernel_h; ky > 0; --ky) {
            const fg_halves some =
                count == LANES ? fg_load_as_halves(from) : fg_load_first_as_halves(from, count);
            fg_scatter_halves_as_bytes(to++, distances, some);
            from += row;
        }
        weights += channels;
    }
}

static FG_INLINE int8_t *put_columns(int8_t *to, int32_t step, fg_halves distances,
                                     const int8_t *from, int32_t channels, int32_t lanes,
                                     int32_t count) {
    for (; count > 0; --count) {
        const fg_halves seen =
            lanes == LANES ? fg_load_as_halves(from) : fg_load_first_as_halves(from, lanes);
        fg_scatter_halves_as_bytes(to, distances, seen);
        from += channels;
        to += step;
    }
    return to;
}

static FG_INLINE int8_t *put_border(int8_t *to, int32_t step, fg_halves distances, fg_halves border,
                                    int32_t count) {
    for (; count > 0; --count) {
        fg_scatter_halves_as_bytes(to, distances, border);
        to += step;
    }
    return to;
}

/* Fills a row of all planes, from a row of the input or, above and below, from NULL. */
static FG_NOINLINE void fill_row(const strip *of, const int8_t *row, int8_t *to) {
    const fg_window *window = &of->params->window;
    const int32_t channels = of->params->in_channels;
    const int32_t step = window->kernel_h;
    const fg_halves distances = fg_half_steps(of->pitch);
    const fg_halves border = fg_all_halves(of->params->input_zero);
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

/* Sums of `pixels` windows where neither six nor three fit, or filters are too long. */
static FG_NOINLINE void sum_any(const strip *of, const int8_t *begin, int32_t step, int32_t pixels,
                                int32_t *sums) {
    const int8_t *filter = of->filters;
    const int32_t taps = of->params->window.kernel_h * of->params->window.kernel_w;
    for (int32_t channel = of->count; channel > 0; --channel) {
        for (int32_t pixel = 0; pixel < pixels; ++pixel) {
            sums[pixel] = fg_dot_one(begin + pixel * step, filter, taps);
        }
        sums += FG_SUMS_PIXELS;
        begin += of->pitch;
        filter += of->bytes;
    }
}

static FG_NOINLINE void sum_six(const strip *of, const int8_t *begin, int32_t step, int32_t *sums) {
    if (of->bytes == LONG_BYTES) {
        fg_dot_six_long_windows(begin, step, of->pitch, of->filters, of->count, sums);
    } else if (of->bytes == WIDE_BYTES) {
        fg_dot_six_wide_windows(begin, step, of->pitch, of->filters, of->count, sums);
    } else if (step == 3) {
        fg_dot_six_neighbours(begin, of->pitch, of->filters, of->count, sums);
    } else {
        fg_dot_six_windows(begin, step, of->pitch, of->filters, of->count, sums);
    }
}

static FG_NOINLINE void sum_three(const strip *of, const int8_t *begin, int32_t step,
                                  int32_t *sums) {
    if (of->bytes == LONG_BYTES) {
        fg_dot_three_long_windows(begin, step, of->pitch, of->filters, of->count, sums);
    } else if (of->bytes == WIDE_BYTES) {
        fg_dot_three_wide_windows(begin, step, of->pitch, of->filters, of->count, sums);
    } else {
        fg_dot_three_windows(begin, step, of->pitch, of->filters, of->count, sums);
    }
}

/* `width` outputs of a row. The last ones that are taken together end where the row does: they may
 * repeat some. */
static FG_NOINLINE void sum_row(const strip *of, const int8_t *begin, int32_t width,
                                int32_t *sums) {
    const fg_window *window = &of->params->window;
    const int32_t step = window->stride_w * window->kernel_h;
    const int32_t most = width < FG_SIX_PIXELS ? FG_THREE_PIXELS : FG_SIX_PIXELS;
    const int32_t pixels = fg_min(width, most);
    const bool any = of->bytes > LONG_BYTES || pixels < most;
    for (int32_t done = 0; done < width; done += pixels) {
        const int32_t first = fg_min(done, width - pixels);
        const int8_t *const seen = begin + first * step;
        if (any) {
            sum_any(of, seen, step, pixels, sums + first);
        } else if (pixels == FG_SIX_PIXELS) {
            sum_six(of, seen, step, sums + first);
        } else {
            sum_three(of, seen, step, sums + first);
        }
    }
}

/* Outputs are made of the sums of several rows, if these are short, or of parts of one. */
static void convolve_strip(const strip *of, const int8_t *input, int8_t *output) {
    const fg_window *window = &of->params->window;
    const int32_t stride = window->stride_h;
    const int32_t kept = window->dilation_h == 1 ? fg_max(window->kernel_h - stride, 0) : 0;
    const int32_t step = window->stride_w * window->kernel_h;
    const int32_t channels = of->params->in_channels;
    int32_t begin = 0; /* where planes begin, counted from where their memory does */
    int32_t waiting = 0;
    for (int32_t row = 0; row < window->out_h; ++row) {
        int32_t known = 0;
        if (row != 0 && kept != 0) {
            known = kept;
            begin += stride;
            if (begin > FG_PLANE_ROOM) {
                fg_copy_bytes(of->planes, of->planes + begin, LANES * of->pitch - begin);
                begin = 0;
            }
        }
        fill_rows(of, input, fg_window_top(window, row), known, of->planes + begin);
        for (int32_t done = 0; done < window->out_w;) {
            const int32_t width = fg_min(window->out_w - done, FG_SUMS_PIXELS);
            sum_row(of, of->planes + begin + done * step, width, of->sums + waiting);
            done += width;
            waiting += width;
            if (waiting + fg_min(window->out_w, FG_SUMS_PIXELS) > FG_SUMS_PIXELS) {
                fg_finish_block(&of->finisher, of->channel, of->count, of->sums, waiting, output);
                output += waiting * channels;
                waiting = 0;
            }
        }
    }
    if (waiting != 0) {
        fg_finish_block(&of->finisher, of->channel, of->count, of->sums, waiting, output);
    }
}

void fg_depthwise_planes(const fg_depthwise_conv2d_params *params, const int8_t *weights,
                         const int32_t *bias, const int8_t *input, int8_t *scratch,
                         int8_t *output) {
    const fg_window *window = &params->window;
    int32_t sums[FG_BLOCK_SUMS];
    fg_fill_bytes((int8_t *)sums, 0, (int32_t)sizeof sums);
    strip of = {.params = params,
                .finisher = {&params->scale, &params->output, bias, params->in_channels,
                             fg_finish_of(&params->scale, &params->output, params->in_channels)},
                .columns = (window->out_w - 1) * window->stride_w + window->kernel_w,
                .pitch = pitch_of(window),
                .bytes = filter_bytes(window->kernel_h * window->kernel_w),
                .planes = scratch,
                .sums = sums};
    of.filters = scratch + LANES * of.pitch;
    for (of.channel = 0; of.channel < params->in_channels; of.channel += LANES) {
        of.count = fg_min(params->in_channels - of.channel, LANES);
        begin_strip(&of, weights);
        convolve_strip(&of, input, output);
    }
}

#endif
