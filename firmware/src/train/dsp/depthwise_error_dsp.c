/* SPDX-License-Identifier: Apache-2.0 */
#include "depthwise_error_dsp.h"

#include <stddef.h>

#include "../../kernels/fg_fixed_point.h"
#include "../scratch.h"
#include "store_dsp.h"

#if FG_DSP && !FG_MVE

/* The input is computed in strips of LANES channels: their filters are spread to int16 once, as
 * words of channels (0, 2) and (1, 3), and so are the scaled errors of the output rows that a row
 * of the input reaches, in a ring. */

#define LANES      4
#define LANE_WORDS 2

typedef struct strip {
    const fg_backward *layer;
    const fg_split_weights *weights;
    const int8_t *errors;
    int32_t channel, count; /* the first one; LANES or, at the end, fewer */
    int32_t rows;           /* in the ring */
    uint32_t *filter, *ring;
} strip;

/* The taps along one axis through which an element of the input is read: `first`, `first` + step ..
 */
typedef struct run {
    int32_t first, step, count;
    int32_t reader, reader_step; /* output that reads through the first one; to that of the next */
} run;

/* One axis of a window. */
typedef struct axis {
    int32_t before, taps, stride, dilation, outputs;
} axis;

static run run_of(const axis *along, int32_t position) {
    const int32_t from = position + along->before;
    const int32_t reach = from - (along->outputs - 1) * along->stride;
    const int32_t low = reach > 0 ? reach : 0;
    run found = {.step = 1, .reader_step = -along->dilation};
    int32_t last = 0;
    if (along->stride == 1) {
        found.first = (low + along->dilation - 1) / along->dilation;
        last = from / along->dilation;
    } else {
        found.step = along->stride;
        found.reader_step = -1;
        found.first = low + (from - low) % along->stride;
        last = from;
    }
    last = fg_min(last, along->taps - 1);
    if (from < low || last < found.first) {
        found.count = 0;
        return found;
    }
    found.count = (last - found.first) / found.step + 1;
    found.reader = (from - found.first * along->dilation) / along->stride;
    return found;
}

static int32_t weight_at(const strip *of, int32_t tap, int32_t lane) {
    const int32_t trained = of->layer->trained;
    const int32_t frozen = of->layer->out_channels - trained;
    const int32_t channel = of->channel + lane;
    if (lane >= of->count) {
        return 0;
    }
    return channel < trained ? of->weights->trained[tap * trained + channel]
                             : of->weights->frozen[tap * frozen + channel - trained];
}

static FG_NOINLINE void spread_filter(const strip *of) {
    const fg_window *const window = &of->layer->window;
    const int32_t taps = window->kernel_h * window->kernel_w;
    uint32_t *words = of->filter;
    for (int32_t tap = 0; tap < taps; ++tap) {
        const uint32_t weight0 = (uint32_t)weight_at(of, tap, 0);
        const uint32_t weight1 = (uint32_t)weight_at(of, tap, 1);
        *words++ = fg_lower_halves(weight0, (uint32_t)weight_at(of, tap, 2));
        *words++ = fg_lower_halves(weight1, (uint32_t)weight_at(of, tap, 3));
    }
}

/* A row of the output's errors, in a common unit. */
static FG_NOINLINE void spread_row(const strip *of, int32_t row) {
    const fg_backward *const layer = of->layer;
    const fg_error_ratio *const ratio = &layer->ratio;
    const int32_t shift = ratio->shift;
    const int32_t half = (int32_t)(UINT32_C(1) << ((uint32_t)shift - 1U));
    int32_t factor[LANES];
    for (int32_t lane = 0; lane < LANES; ++lane) {
        const int32_t channel = of->channel + fg_min(lane, of->count - 1);
        factor[lane] = ratio->value[channel * ratio->step];
    }
    const int32_t width = layer->window.out_w;
    const int8_t *error = of->errors + row * width * layer->out_channels + of->channel;
    uint32_t *words = of->ring + row % of->rows * width * LANE_WORDS;
    for (int32_t column = 0; column < width; ++column) {
        const uint32_t bytes =
            of->count == LANES ? fg_load_quad(error) : fg_load_some(error, of->count);
        const int32_t scaled0 = ((int8_t)(bytes & 0xFFU) * factor[0] + half) >> shift;
        const int32_t scaled1 = ((int8_t)(bytes >> 8 & 0xFFU) * factor[1] + half) >> shift;
        const int32_t scaled2 = ((int8_t)(bytes >> 16 & 0xFFU) * factor[2] + half) >> shift;
        const int32_t scaled3 = ((int8_t)(bytes >> 24) * factor[3] + half) >> shift;
        *words++ = fg_lower_halves((uint32_t)scaled0, (uint32_t)scaled2);
        *words++ = fg_lower_halves((uint32_t)scaled1, (uint32_t)scaled3);
        error += layer->out_channels;
    }
}

/* Sums of the lanes. */
typedef struct lanes {
    uint32_t sum0, sum1, sum2, sum3;
} lanes;

/* Adds `count` taps, at least one; steps are in words. */
static FG_INLINE lanes add_taps(lanes sums, const uint32_t *errors, int32_t error_step,
                                const uint32_t *factors, int32_t factor_step, int32_t count) {
    for (; count > 0; --count) {
        const uint32_t error02 = errors[0];
        const uint32_t error13 = errors[1];
        const uint32_t factor02 = factors[0];
        const uint32_t factor13 = factors[1];
        sums.sum0 = fg_dot_lower(error02, factor02, sums.sum0);
        sums.sum1 = fg_dot_lower(error13, factor13, sums.sum1);
        sums.sum2 = fg_dot_upper(error02, factor02, sums.sum2);
        sums.sum3 = fg_dot_upper(error13, factor13, sums.sum3);
        errors += error_step;
        factors += factor_step;
    }
    return sums;
}

/* All sums of one element. */
static FG_INLINE lanes sums_of(const strip *of, const run *rows, const run *columns) {
    const fg_window *const window = &of->layer->window;
    const int32_t width = window->out_w;
    lanes sums = {0U, 0U, 0U, 0U};
    if (columns->count == 0) {
        return sums;
    }
    int32_t ky = rows->first;
    int32_t row = rows->reader;
    for (int32_t left = rows->count; left > 0; --left) {
        const uint32_t *const errors =
            of->ring + (row % of->rows * width + columns->reader) * LANE_WORDS;
        const uint32_t *const factors =
            of->filter + (ky * window->kernel_w + columns->first) * LANE_WORDS;
        if (columns->step == 1 && columns->reader_step == -1) {
            sums = add_taps(sums, errors, -LANE_WORDS, factors, LANE_WORDS, columns->count);
        } else {
            sums = add_taps(sums, errors, columns->reader_step * LANE_WORDS, factors,
                            columns->step * LANE_WORDS, columns->count);
        }
        ky += rows->step;
        row += rows->reader_step;
    }
    return sums;
}

static FG_NOINLINE void compute_row(const strip *of, const run *rows, const axis *across, int32_t y,
                                    const fg_storing *storing, fg_peaks *peaks) {
    const int32_t inputs = of->layer->in_channels;
    const int32_t width = of->layer->window.in_w;
    const bool whole = of->count == LANES && (inputs & 3) == 0;
    fg_peaks seen = *peaks;
    uint32_t index = (uint32_t)(y * width * inputs + of->channel);
    for (int32_t x = 0; x < width; ++x) {
        const run columns = run_of(across, x);
        const lanes found = sums_of(of, rows, &columns);
        const int32_t sums[LANES] = {(int32_t)found.sum0, (int32_t)found.sum1, (int32_t)found.sum2,
                                     (int32_t)found.sum3};
        if (whole) {
            fg_store_four(storing, sums, index, &seen);
        } else {
            fg_store_some(storing, sums, (uint32_t)of->count, index, &seen);
        }
        index += (uint32_t)inputs;
    }
    *peaks = seen;
}

static FG_NOINLINE void compute_strip(const strip *of, const fg_storing *storing, fg_peaks *peaks) {
    const fg_window *const window = &of->layer->window;
    const axis down = {window->pad_top, window->kernel_h, window->stride_h, window->dilation_h,
                       window->out_h};
    const axis across = {window->pad_left, window->kernel_w, window->stride_w, window->dilation_w,
                         window->out_w};
    int32_t known = 0; /* rows that have been spread */
    for (int32_t y = 0; y < window->in_h; ++y) {
        const run rows = run_of(&down, y);
        for (; rows.count > 0 && known <= rows.reader; ++known) {
            spread_row(of, known);
        }
        compute_row(of, &rows, &across, y, storing, peaks);
    }
}

bool fg_depthwise_error_fits(const fg_backward *layer) {
    const fg_window *const window = &layer->window;
    return layer->in_channels == layer->out_channels &&
           (window->stride_h == 1 || window->dilation_h == 1) &&
           (window->stride_w == 1 || window->dilation_w == 1);
}

fg_peaks fg_depthwise_error_strips(const fg_backward *layer, const fg_split_weights *weights,
                                   const int8_t *errors, const fg_mask *mask, int32_t shift,
                                   int32_t *scratch, int8_t *made) {
    const fg_strip_layout layout = fg_strip_layout_of(layer);
    const fg_storing storing = fg_storing_of(mask, shift, made);
    strip of = {.layer = layer,
                .weights = weights,
                .errors = errors,
                .rows = layout.rows,
                .filter = (uint32_t *)scratch,
                .ring = (uint32_t *)scratch + layout.taps};
    fg_peaks peaks = {0U, 0U};
    for (of.channel = 0; of.channel < layer->in_channels; of.channel += LANES) {
        of.count = fg_min(layer->in_channels - of.channel, LANES);
        spread_filter(&of);
        compute_strip(&of, &storing, &peaks);
    }
    return peaks;
}

#endif
