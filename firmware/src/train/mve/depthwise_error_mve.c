/* SPDX-License-Identifier: Apache-2.0 */
#include "depthwise_error_mve.h"

#include <stddef.h>

#include "../../kernels/fg_fixed_point.h"
#include "../scratch.h"
#include "store_mve.h"
#include "sums_mve.h"

#if FG_MVE

/* The input is computed in strips of eight channels. What a pixel of it gets is an inner product of
 * scaled errors around it with taps of the filter, turned by half a turn: every tap, or where the
 * window strides those of the pixel's phase, the place that it has in a stride; each phase has a
 * filter of its own then. Errors are kept as in the forward pass: in a plane per channel, column by
 * column, each as many halves as a filter has rows; going down by a row is going on by one. */

#define LANES FG_PLANE_CHANNELS

/* Of filters that stay in registers. */
enum {
    SHORT_HALVES = 2 * FG_HALF_LANES,
    WIDE_HALVES = 4 * FG_HALF_LANES,
    LONG_HALVES = 7 * FG_HALF_LANES,
};

typedef struct strip {
    const fg_backward *layer;
    const fg_split_weights *weights;
    const int8_t *errors;
    int32_t channel, count; /* the first one; LANES or, at the end, fewer */
    fg_plane_layout layout;
    int16_t *planes;
    int16_t *filters; /* [phase][LANES][halves] */
    fg_halves factor; /* of the errors */
    int32_t *sums;
} strip;

/* The weights of all lanes at a tap, where some are not there or train unlike the others. */
static FG_NOINLINE fg_halves weights_at(const strip *of, int32_t tap) {
    const int32_t trained = of->layer->trained;
    const int32_t frozen = of->layer->out_channels - trained;
    int8_t some[LANES] = {0};
    for (int32_t lane = 0; lane < of->count; ++lane) {
        const int32_t channel = of->channel + lane;
        some[lane] = channel < trained ? of->weights->trained[tap * trained + channel]
                                       : of->weights->frozen[tap * frozen + channel - trained];
    }
    return fg_load_as_halves(some);
}

/* Turns the filters of the lanes by half a turn. */
static FG_NOINLINE void begin_filters(const strip *of) {
    const fg_backward *const layer = of->layer;
    const fg_window *const window = &layer->window;
    const fg_plane_layout *const layout = &of->layout;
    const int32_t size = LANES * layout->halves;
    const fg_halves distances = fg_half_steps(layout->halves);
    const int32_t trained = layer->trained;
    const bool learns = of->channel < trained;
    const bool mixed = learns && of->channel + of->count > trained;
    const bool whole = !mixed && of->count == LANES;
    const int32_t channels = learns ? trained : layer->out_channels - trained;
    const int8_t *const first =
        learns ? of->weights->trained + of->channel : of->weights->frozen + of->channel - trained;
    fg_fill_bytes((int8_t *)of->filters, 0,
                  window->stride_h * window->stride_w * size * (int32_t)sizeof *of->filters);
    int16_t *const last = of->filters + layout->reach * layout->rows + layout->rows - 1;
    int32_t tap = 0;
    int32_t row = 0;
    int32_t down = 0; /* phase and place in it */
    for (int32_t ky = window->kernel_h; ky > 0; --ky) {
        int16_t *to = last + row * window->stride_w * size - down;
        int32_t left = window->stride_w;
        for (int32_t kx = window->kernel_w; kx > 0; --kx) {
            fg_scatter_halves(to, distances,
                              whole ? fg_load_as_halves(first + tap * channels)
                                    : weights_at(of, tap));
            ++tap;
            to += size;
            if (--left == 0) {
                left = window->stride_w;
                to -= left * size + layout->rows;
            }
        }
        if (++row == window->stride_h) {
            row = 0;
            ++down;
        }
    }
}

static FG_NOINLINE void begin_strip(strip *of) {
    const fg_error_ratio *const ratio = &of->layer->ratio;
    int16_t factors[LANES] = {0};
    for (int32_t lane = 0; lane < of->count; ++lane) {
        factors[lane] = ratio->value[(of->channel + lane) * ratio->step];
    }
    of->factor = fg_load_halves(factors);
    begin_filters(of);
}

static FG_INLINE void put_zeros(int16_t *to, int32_t step, fg_halves distances, int32_t count) {
    const fg_halves zeros = fg_all_halves(0);
    for (; count > 0; --count) {
        fg_scatter_halves(to, distances, zeros);
        to += step;
    }
}

/* Fills a row of all planes: row `y` of the errors or, where there is none, zeros. */
static FG_NOINLINE void fill_row(const strip *of, int32_t y, int16_t *to) {
    const fg_window *const window = &of->layer->window;
    const int32_t step = of->layout.rows;
    const fg_halves distances = fg_half_steps(of->layout.pitch);
    const int32_t columns = of->layout.columns;
    if (y < 0 || y >= window->out_h) {
        put_zeros(to, step, distances, columns);
        return;
    }
    const int32_t before = of->layout.reach;
    const int32_t inside = fg_min(window->out_w, columns - before);
    const fg_halves factor = of->factor;
    const int32_t up = 15 - of->layer->ratio.shift;
    const int32_t channels = of->layer->out_channels;
    const int8_t *error = of->errors + y * window->out_w * channels + of->channel;
    put_zeros(to, step, distances, before);
    to += before * step;
    for (int32_t column = inside; column > 0; --column) {
        const fg_halves seen = of->count == LANES ? fg_load_as_halves(error)
                                                  : fg_load_first_as_halves(error, of->count);
        fg_scatter_halves(to, distances, fg_high_mul_halves(fg_shift_half(seen, up), factor));
        error += channels;
        to += step;
    }
    put_zeros(to, step, distances, columns - before - inside);
}

/* Sums of `pixels` neighbours of a phase. */
static FG_NOINLINE void sum_any(const strip *of, const int16_t *begin, const int16_t *filters,
                                int32_t pixels, int32_t *sums) {
    for (int32_t channel = of->count; channel > 0; --channel) {
        for (int32_t pixel = 0; pixel < pixels; ++pixel) {
            sums[pixel] =
                fg_dot_one_half(begin + pixel * of->layout.rows, filters, of->layout.taps);
        }
        begin += of->layout.pitch;
        filters += of->layout.halves;
        sums += FG_SUMS_PIXELS;
    }
}

static FG_NOINLINE void sum_six(const strip *of, const int16_t *begin, const int16_t *filters,
                                int32_t *sums) {
    const int32_t step = of->layout.rows;
    const int32_t pitch = of->layout.pitch;
    if (of->layout.halves == LONG_HALVES) {
        fg_dot_six_long_half_windows(begin, step, pitch, filters, of->count, sums);
    } else if (of->layout.halves == WIDE_HALVES) {
        fg_dot_six_wide_half_windows(begin, step, pitch, filters, of->count, sums);
    } else {
        fg_dot_six_half_windows(begin, step, pitch, filters, of->count, sums);
    }
}

static FG_NOINLINE void sum_three(const strip *of, const int16_t *begin, const int16_t *filters,
                                  int32_t *sums) {
    const int32_t step = of->layout.rows;
    const int32_t pitch = of->layout.pitch;
    if (of->layout.halves == LONG_HALVES) {
        fg_dot_three_long_half_windows(begin, step, pitch, filters, of->count, sums);
    } else if (of->layout.halves == WIDE_HALVES) {
        fg_dot_three_wide_half_windows(begin, step, pitch, filters, of->count, sums);
    } else {
        fg_dot_three_half_windows(begin, step, pitch, filters, of->count, sums);
    }
}

/* The last ones that are taken together end where the run does: they may repeat some. */
static FG_NOINLINE void sum_run(const strip *of, const int16_t *begin, const int16_t *filters,
                                int32_t width, int32_t *sums) {
    const int32_t most = width < FG_SIX_PIXELS ? FG_THREE_PIXELS : FG_SIX_PIXELS;
    const int32_t pixels = fg_min(width, most);
    const bool any = of->layout.halves > LONG_HALVES || pixels < most;
    for (int32_t done = 0; done < width; done += pixels) {
        const int32_t first = fg_min(done, width - pixels);
        const int16_t *const seen = begin + first * of->layout.rows;
        if (any) {
            sum_any(of, seen, filters, pixels, sums + first);
        } else if (pixels == FG_SIX_PIXELS) {
            sum_six(of, seen, filters, sums + first);
        } else {
            sum_three(of, seen, filters, sums + first);
        }
    }
}

static FG_NOINLINE void store(const strip *of, const fg_storing *storing, int32_t pixels,
                              int32_t index, int32_t step, fg_peaks *peaks) {
    if (of->count == LANES && storing->shift != 0 && storing->made != NULL) {
        fg_store_block(storing, of->sums, pixels, (uint32_t)index, (uint32_t)step, peaks);
    } else {
        fg_store_any_block(storing, of->sums, of->count, pixels, (uint32_t)index, (uint32_t)step,
                           peaks);
    }
}

/* The pixels of one phase of row `y`. */
static FG_NOINLINE void compute_phase(const strip *of, const int16_t *begin, int32_t y,
                                      int32_t phase, const fg_storing *storing, fg_peaks *peaks) {
    const fg_window *const window = &of->layer->window;
    const int32_t stride = window->stride_w;
    const int32_t channels = of->layer->in_channels;
    const int32_t size = LANES * of->layout.halves;
    const int32_t phases = (y + window->pad_top) % window->stride_h * stride;
    const int16_t *const filters = of->filters + (phases + phase) * size;
    int32_t x = phase - window->pad_left % stride;
    x += x < 0 ? stride : 0;
    begin += (x + window->pad_left) / stride * of->layout.rows;
    while (x < window->in_w) {
        const int32_t left = (window->in_w - 1 - x) / stride + 1;
        const int32_t width = fg_min(left, FG_SUMS_PIXELS);
        sum_run(of, begin, filters, width, of->sums);
        store(of, storing, width, (y * window->in_w + x) * channels + of->channel,
              stride * channels, peaks);
        x += width * stride;
        begin += width * of->layout.rows;
    }
}

/* Rows of which several make a block: all pixels are of one phase. */
static FG_NOINLINE void compute_short_row(const strip *of, const int16_t *begin, int32_t y,
                                          const fg_storing *storing, fg_peaks *peaks) {
    const fg_window *const window = &of->layer->window;
    const int32_t width = window->in_w;
    const int32_t rows = FG_SUMS_PIXELS / width; /* of a block */
    const int32_t channels = of->layer->in_channels;
    const int32_t row = y % rows;
    sum_run(of, begin + window->pad_left * of->layout.rows, of->filters, width,
            of->sums + row * width);
    if (row == rows - 1 || y == window->in_h - 1) {
        store(of, storing, (row + 1) * width, (y - row) * width * channels + of->channel, channels,
              peaks);
    }
}

static void compute_strip(const strip *of, const fg_storing *storing, fg_peaks *peaks) {
    const fg_window *const window = &of->layer->window;
    const bool together =
        window->stride_h == 1 && window->stride_w == 1 && window->in_w <= FG_SUMS_PIXELS;
    const int32_t last = of->layout.rows - 1;
    int16_t *begin = of->planes;
    int32_t top = window->pad_top / window->stride_h; /* the last row of errors that is seen */
    for (int32_t row = 0; row < last; ++row) {
        fill_row(of, top - last + row, begin + row);
    }
    fill_row(of, top, begin + last);
    for (int32_t y = 0; y < window->in_h; ++y) {
        if (top != (y + window->pad_top) / window->stride_h) {
            ++top;
            ++begin;
            fill_row(of, top, begin + last);
        }
        if (together) {
            compute_short_row(of, begin, y, storing, peaks);
            continue;
        }
        for (int32_t phase = 0; phase < window->stride_w; ++phase) {
            compute_phase(of, begin, y, phase, storing, peaks);
        }
    }
}

bool fg_depthwise_error_has_planes(const fg_backward *layer) {
    const fg_window *const window = &layer->window;
    return layer->in_channels == layer->out_channels && window->dilation_h == 1 &&
           window->dilation_w == 1 && layer->ratio.shift >= 7 && layer->ratio.shift <= 15 &&
           (LANES - 1) * fg_plane_layout_of(layer).pitch <= UINT16_MAX;
}

fg_peaks fg_depthwise_error_planes(const fg_backward *layer, const fg_split_weights *weights,
                                   const int8_t *errors, const fg_mask *mask, int32_t shift,
                                   int32_t *scratch, int8_t *made) {
    const fg_storing storing = {mask, shift, made};
    int32_t sums[FG_BLOCK_SUMS];
    fg_fill_bytes((int8_t *)sums, 0, (int32_t)sizeof sums);
    strip of = {.layer = layer,
                .weights = weights,
                .errors = errors,
                .layout = fg_plane_layout_of(layer),
                .planes = (int16_t *)(void *)scratch,
                .sums = sums};
    of.filters = of.planes + LANES * of.layout.pitch;
    fg_peaks peaks = {0U, 0U};
    for (of.channel = 0; of.channel < layer->in_channels; of.channel += LANES) {
        of.count = fg_min(layer->in_channels - of.channel, LANES);
        begin_strip(&of);
        compute_strip(&of, &storing, &peaks);
    }
    return peaks;
}

#endif
