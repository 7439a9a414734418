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
    int32_t slot;                /* of that output in the ring */
} run;

/* One axis of a window. */
typedef struct axis {
    int32_t before, taps, stride, dilation, outputs;
} axis;

static FG_NOINLINE run any_run_of(const axis *along, int32_t position) {
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

static FG_INLINE run run_of(const axis *along, int32_t position) {
    if (along->stride != 1 || along->dilation != 1) {
        return any_run_of(along, position);
    }
    const int32_t from = position + along->before;
    const int32_t first = from < along->outputs ? 0 : from - along->outputs + 1;
    const int32_t last = fg_min(from, along->taps - 1);
    const run found = {first, 1, last < first ? 0 : last - first + 1, from - first, -1, 0};
    return found;
}

/* The strip's weights at a tap where some of its channels train and others do not. */
static FG_NOINLINE uint32_t mixed_weights(const strip *of, int32_t tap) {
    const int32_t trained = of->layer->trained;
    const int32_t frozen = of->layer->out_channels - trained;
    uint32_t bytes = 0;
    for (int32_t lane = of->count - 1; lane >= 0; --lane) {
        const int32_t channel = of->channel + lane;
        const int8_t weight = channel < trained
                                  ? of->weights->trained[tap * trained + channel]
                                  : of->weights->frozen[tap * frozen + channel - trained];
        bytes = bytes << 8 | (uint8_t)weight;
    }
    return bytes;
}

static FG_NOINLINE void spread_filter(const strip *of) {
    const fg_window *const window = &of->layer->window;
    const int32_t taps = window->kernel_h * window->kernel_w;
    const int32_t trained = of->layer->trained;
    const bool trains = of->channel + of->count <= trained;
    const bool mixed = !trains && of->channel < trained;
    const int32_t distance = trains ? trained : of->layer->out_channels - trained;
    const int8_t *weights = NULL;
    if (!mixed) {
        weights = trains ? of->weights->trained + of->channel
                         : of->weights->frozen + of->channel - trained;
    }
    uint32_t *words = of->filter;
    for (int32_t tap = 0; tap < taps; ++tap) {
        uint32_t bytes;
        if (mixed) {
            bytes = mixed_weights(of, tap);
        } else {
            bytes = of->count == LANES ? fg_load_quad(weights) : fg_load_some(weights, of->count);
            weights += distance;
        }
        *words++ = fg_even_bytes(bytes);
        *words++ = fg_odd_bytes(bytes);
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

/* Taps of one element: `rows` times `count` of them, at least one. */
typedef struct taps {
    const uint32_t *errors;  /* of the first tap of the first row */
    const uint32_t *factors; /* likewise */
    int32_t rows, count;
    int32_t error_step, factor_step; /* from one tap to the next, words */
    int32_t error_row, factor_row;   /* from one row's end to the next one's first tap, words */
} taps;

#if FG_DSP_LOOPS

/* Neighbouring errors from the last one on; `step` is that of the factors, in bytes. */
#define ADD_TAPS(step)                                                                             \
    "1:\n\t"                                                                                       \
    "ldr    lr, %[count]\n"                                                                        \
    "2:\n\t"                                                                                       \
    "ldrd   r2, r3, [%[errors]], #-8\n\t"                                                          \
    "ldrd   r4, r5, [%[factors]], #" step "\n\t"                                                   \
    "smlabb r8, r2, r4, r8\n\t"                                                                    \
    "smlabb r9, r3, r5, r9\n\t"                                                                    \
    "smlatt r10, r2, r4, r10\n\t"                                                                  \
    "smlatt r11, r3, r5, r11\n\t"                                                                  \
    "subs   lr, lr, #1\n\t"                                                                        \
    "bne    2b\n\t"                                                                                \
    "ldr    r2, %[error_row]\n\t"                                                                  \
    "ldr    r3, %[factor_row]\n\t"                                                                 \
    "add    %[errors], %[errors], r2, lsl #2\n\t"                                                  \
    "add    %[factors], %[factors], r3, lsl #2\n\t"                                                \
    "subs   %[rows], %[rows], #1\n\t"                                                              \
    "bne    1b\n\t"

#define TAPS_IN_ASSEMBLY(step)                                                                     \
    __asm__ volatile("ldmia  %[sums], {r8, r9, r10, r11}\n" ADD_TAPS(                              \
                         step) "stmia  %[sums], {r8, r9, r10, r11}\n\t"                            \
                     : [errors] "+r"(errors), [factors] "+r"(factors), [rows] "+r"(rows)           \
                     : [sums] "r"(sums), [count] "m"(of->count), [error_row] "m"(of->error_row),   \
                       [factor_row] "m"(of->factor_row)                                            \
                     : "r2", "r3", "r4", "r5", "r8", "r9", "r10", "r11", "lr", "cc", "memory")

#endif

static FG_INLINE void add_any_taps(const taps *of, int32_t error_step, int32_t factor_step,
                                   uint32_t *sums) {
    const uint32_t *errors = of->errors;
    const uint32_t *factors = of->factors;
    for (int32_t row = 0; row < of->rows; ++row) {
        for (int32_t left = of->count; left > 0; --left) {
            sums[0] = fg_dot_lower(errors[0], factors[0], sums[0]);
            sums[1] = fg_dot_lower(errors[1], factors[1], sums[1]);
            sums[2] = fg_dot_upper(errors[0], factors[0], sums[2]);
            sums[3] = fg_dot_upper(errors[1], factors[1], sums[3]);
            errors += error_step;
            factors += factor_step;
        }
        errors += of->error_row;
        factors += of->factor_row;
    }
}

/* Adds the products of all taps to the sums of channels 0, 1, 2, 3. */
static FG_INLINE void add_taps(const taps *of, uint32_t *sums) {
#if FG_DSP_LOOPS
    const uint32_t *errors = of->errors;
    const uint32_t *factors = of->factors;
    int32_t rows = of->rows;
    if (of->error_step == -LANE_WORDS && of->factor_step == LANE_WORDS) {
        TAPS_IN_ASSEMBLY("8");
        return;
    }
    if (of->error_step == -LANE_WORDS && of->factor_step == 2 * LANE_WORDS) {
        TAPS_IN_ASSEMBLY("16");
        return;
    }
#endif
    add_any_taps(of, of->error_step, of->factor_step, sums);
}

/* All sums of one element. The rows that read it go down through the ring, at most once around. */
static FG_NOINLINE void sum_taps(const strip *of, const run *rows, const run *columns,
                                 uint32_t *sums) {
    const fg_window *const window = &of->layer->window;
    const int32_t pitch = window->out_w * LANE_WORDS;
    const int32_t slot = rows->slot;
    const int32_t before = slot / -rows->reader_step + 1; /* until the ring's first row */
    taps part;
    part.rows = fg_min(rows->count, before);
    part.count = columns->count;
    part.error_step = columns->reader_step * LANE_WORDS;
    part.factor_step = columns->step * LANE_WORDS;
    part.error_row = rows->reader_step * pitch - part.count * part.error_step;
    part.factor_row = rows->step * window->kernel_w * LANE_WORDS - part.count * part.factor_step;
    part.errors = of->ring + slot * pitch + columns->reader * LANE_WORDS;
    part.factors = of->filter + (rows->first * window->kernel_w + columns->first) * LANE_WORDS;
    add_taps(&part, sums);
    if (part.rows < rows->count) {
        part.errors += (part.rows * rows->reader_step + of->rows) * pitch;
        part.factors += part.rows * rows->step * window->kernel_w * LANE_WORDS;
        part.rows = rows->count - part.rows;
        add_taps(&part, sums);
    }
}

static FG_NOINLINE void compute_row(const strip *of, const run *rows, const axis *across, int32_t y,
                                    const fg_storing *storing, fg_peaks *peaks) {
    const int32_t inputs = of->layer->in_channels;
    const int32_t width = of->layer->window.in_w;
    const bool whole = of->count == LANES && (inputs & 3) == 0;
    fg_peaks seen = *peaks;
    uint32_t index = (uint32_t)(y * width * inputs + of->channel);
    for (int32_t x = 0; x < width; ++x) {
        uint32_t sums[LANES] = {0U, 0U, 0U, 0U};
        const uint32_t open = whole ? fg_open_four(storing, index) : 0xFU;
        if (open != 0U && rows->count != 0) {
            const run columns = run_of(across, x);
            if (columns.count != 0) {
                sum_taps(of, rows, &columns, sums);
            }
        }
        if (whole) {
            fg_store_open_four(storing, (const int32_t *)sums, open, index, &seen);
        } else {
            fg_store_some(storing, (const int32_t *)sums, (uint32_t)of->count, index, &seen);
        }
        index += (uint32_t)inputs;
    }
    seen.kept = fg_fold_bytes(seen.kept);
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
        run rows = run_of(&down, y);
        rows.slot = rows.count > 0 ? rows.reader % of->rows : 0;
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
