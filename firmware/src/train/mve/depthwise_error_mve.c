/* SPDX-License-Identifier: Apache-2.0 */
#include "depthwise_error_mve.h"

#include <stddef.h>

#include "../../kernels/fg_fixed_point.h"
#include "../scratch.h"
#include "store_mve.h"

#if FG_MVE

/* The input is computed in strips of four channels, a lane for each. What a pixel of it gets is an
 * inner product of the filter, turned by half a turn, with the scaled errors around it; between
 * those lie zeros where the window strides. They are kept as in the forward pass: in a plane per
 * channel, column by column, each of kernel_h halves; going down by a row is going on by one. */

#define LANES FG_WORD_LANES

typedef struct strip {
    const fg_backward *layer;
    const fg_split_weights *weights;
    const int8_t *errors;
    int32_t channel, count; /* the first one; LANES or, at the end, fewer */
    fg_plane_layout layout;
    int16_t *planes;
    int16_t *filters; /* [chunks][LANES][8], zeros at the end */
    fg_words factor;  /* of the errors */
} strip;

static int32_t weight_at(const strip *of, int32_t tap, int32_t lane) {
    const int32_t trained = of->layer->trained;
    const int32_t frozen = of->layer->out_channels - trained;
    const int32_t channel = of->channel + lane;
    return channel < trained ? of->weights->trained[tap * trained + channel]
                             : of->weights->frozen[tap * frozen + channel - trained];
}

/* The weights of all lanes at a tap, where some are not there or train unlike the others. */
static FG_NOINLINE fg_words weights_at(const strip *of, int32_t tap) {
    int32_t some[LANES] = {0, 0, 0, 0};
    for (int32_t lane = 0; lane < of->count; ++lane) {
        some[lane] = weight_at(of, tap, lane);
    }
    return fg_load_words(some);
}

/* Turns the filters of the lanes by half a turn; sets what fill_row() needs. */
static FG_NOINLINE void begin_strip(strip *of) {
    const fg_backward *const layer = of->layer;
    const fg_window *const window = &layer->window;
    const int32_t bytes = of->layout.chunks * LANES * FG_HALF_LANES * (int32_t)sizeof(int16_t);
    const fg_words distances = fg_word_steps(FG_HALF_LANES * (int32_t)sizeof(int16_t));
    const int32_t trained = layer->trained;
    const bool learns = of->channel < trained;
    const bool mixed = learns && of->channel + of->count > trained;
    const bool whole = !mixed && of->count == LANES;
    const int32_t channels = learns ? trained : layer->out_channels - trained;
    const int8_t *first =
        learns ? of->weights->trained + of->channel : of->weights->frozen + of->channel - trained;
    const int32_t row = window->kernel_w * channels;
    int16_t *to = of->filters;
    int32_t room = FG_HALF_LANES; /* in the vectors of this chunk */
    fg_fill_bytes((int8_t *)of->filters, 0, bytes);
    for (int32_t kx = window->kernel_w - 1; kx >= 0; --kx) {
        int32_t tap = (window->kernel_h - 1) * window->kernel_w + kx;
        const int8_t *from = first + tap * channels;
        for (int32_t ky = window->kernel_h; ky > 0; --ky) {
            if (whole) {
                fg_scatter_as_halves(to++, distances, fg_load_as_words(from));
            } else {
                fg_scatter_as_halves(to++, distances, weights_at(of, tap));
            }
            from -= row;
            tap -= window->kernel_w;
            if (--room == 0) {
                to += (LANES - 1) * FG_HALF_LANES;
                room = FG_HALF_LANES;
            }
        }
    }
    int32_t factors[LANES] = {0, 0, 0, 0};
    for (int32_t lane = 0; lane < of->count; ++lane) {
        factors[lane] = layer->ratio.value[(of->channel + lane) * layer->ratio.step];
    }
    of->factor = fg_load_words(factors);
}

static FG_INLINE void put_zeros(int16_t *to, int32_t step, fg_words distances, int32_t count) {
    const fg_words zeros = fg_all_words(0);
    for (; count > 0; --count) {
        fg_scatter_as_halves(to, distances, zeros);
        to += step;
    }
}

/* Fills a row of all planes: row `y` of the errors with zeros between them, or nothing but zeros.
 */
static FG_NOINLINE void fill_row(const strip *of, int32_t y, int16_t *to) {
    const fg_backward *const layer = of->layer;
    const fg_window *const window = &layer->window;
    const fg_error_ratio *const ratio = &layer->ratio;
    const int32_t step = window->kernel_h;
    const fg_words distances = fg_word_steps(of->layout.pitch * (int32_t)sizeof(int16_t));
    const int32_t row = y < 0 || y % window->stride_h != 0 ? -1 : y / window->stride_h;
    const bool any = row >= 0 && row < window->out_h;
    const int32_t before = window->kernel_w - 1 - window->pad_left;
    if (!any || window->stride_w != 1) {
        put_zeros(to, step, distances, of->layout.columns);
    } else {
        put_zeros(to, step, distances, before);
        const int32_t after = before + window->out_w;
        put_zeros(to + after * step, step, distances, of->layout.columns - after);
    }
    if (!any) {
        return;
    }
    const fg_words factor = of->factor;
    const int32_t shift = -ratio->shift;
    const int32_t channels = layer->out_channels;
    const int8_t *error = of->errors + row * window->out_w * channels + of->channel;
    to += before * step;
    for (int32_t column = window->out_w; column > 0; --column) {
        const fg_words seen =
            of->count == LANES ? fg_load_as_words(error) : fg_load_first_as_words(error, of->count);
        fg_scatter_as_halves(to, distances, fg_shift_word(fg_multiply_words(seen, factor), shift));
        error += channels;
        to += step * window->stride_w;
    }
}

static FG_INLINE void compute_pixels(const strip *of, const int16_t *begin, uint32_t index,
                                     int32_t count, const fg_storing *storing, fg_peaks *peaks) {
    const int32_t step = of->layer->window.kernel_h;
    const uint32_t channels = (uint32_t)of->layer->in_channels;
    const int32_t pitch = of->layout.pitch;
    const int32_t chunks = of->layout.chunks;
    const int16_t *const filters = of->filters;
    const fg_storing shared = *storing;
    fg_lane_peaks seen = fg_no_lane_peaks();
    for (int32_t x = of->layer->window.in_w; x > 0; --x) {
        const fg_words sums = fg_dot_each_halves(begin, pitch, filters, chunks);
        fg_store_sums(&shared, sums, index, count, &seen);
        begin += step;
        index += channels;
    }
    fg_add_lane_peaks(peaks, &seen);
}

static FG_NOINLINE void compute_row(const strip *of, const int16_t *begin, uint32_t index,
                                    const fg_storing *storing, fg_peaks *peaks) {
    compute_pixels(of, begin, index, LANES, storing, peaks);
}

static FG_NOINLINE void compute_some(const strip *of, const int16_t *begin, uint32_t index,
                                     const fg_storing *storing, fg_peaks *peaks) {
    compute_pixels(of, begin, index, of->count, storing, peaks);
}

bool fg_depthwise_error_has_planes(const fg_backward *layer) {
    const fg_window *const window = &layer->window;
    return layer->in_channels == layer->out_channels && window->dilation_h == 1 &&
           window->dilation_w == 1;
}

fg_peaks fg_depthwise_error_planes(const fg_backward *layer, const fg_split_weights *weights,
                                   const int8_t *errors, const fg_mask *mask, int32_t shift,
                                   int32_t *scratch, int8_t *made) {
    const fg_window *const window = &layer->window;
    const fg_storing storing = {mask, shift, made};
    strip of = {.layer = layer,
                .weights = weights,
                .errors = errors,
                .layout = fg_plane_layout_of(layer),
                .planes = (int16_t *)(void *)scratch};
    of.filters = of.planes + LANES * of.layout.pitch;
    fg_peaks peaks = {0U, 0U};
    for (of.channel = 0; of.channel < layer->in_channels; of.channel += LANES) {
        of.count = fg_min(layer->in_channels - of.channel, LANES);
        begin_strip(&of);
        const int32_t last = window->kernel_h - 1;
        int16_t *begin = of.planes;
        for (int32_t ky = 0; ky < last; ++ky) {
            fill_row(&of, window->pad_top - last + ky, begin + ky);
        }
        uint32_t index = (uint32_t)of.channel;
        for (int32_t y = 0; y < window->in_h; ++y) {
            fill_row(&of, y + window->pad_top, begin + last);
            if (of.count == LANES) {
                compute_row(&of, begin, index, &storing, &peaks);
            } else {
                compute_some(&of, begin, index, &storing, &peaks);
            }
            ++begin;
            index += (uint32_t)(window->in_w * layer->in_channels);
        }
    }
    return peaks;
}

#endif
