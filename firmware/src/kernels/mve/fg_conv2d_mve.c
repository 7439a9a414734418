/* SPDX-License-Identifier: Apache-2.0 */
#include "../fg_dot.h"
#include "../fg_patch.h"
#include "../fg_requantize.h"
#include "../fg_target.h"
#include "fg_block_mve.h"

#if FG_MVE

/* Patches of up to 16 taps stay in registers, six at a time, those of up to 32 three at a time;
 * every filter that is loaded meets all of them. Longer ones are loaded, too: three patches meet
 * two filters. A block of pixels is computed before outputs are made of its sums.
 * Its last patch is repeated where it is not whole sixes or threes. */

/* Of a block, whole sixes. */
enum { MOST_PATCHES = FG_SUMS_PIXELS / FG_SIX_PIXELS * FG_SIX_PIXELS };

/* How many patches scratch memory has room for, in whole sixes, or three. */
static int32_t patches_of(const fg_conv2d_params *params) {
    const int32_t room = (2 * params->block + 8) / FG_SIX_PIXELS * FG_SIX_PIXELS;
    return params->block == 0 ? FG_THREE_PIXELS : fg_min(room, MOST_PATCHES);
}

/* What the pixels of a layer share. */
typedef struct layer {
    fg_finisher finisher;
    const int8_t *weights;
    int32_t taps, together; /* patches in registers */
    int32_t most;           /* of a block */
    int32_t *sums;
} layer;

/* Patches, and where the outputs of the first one belong. */
typedef struct block {
    const int8_t *patch[FG_SUMS_PIXELS];
    int8_t *output;
    int32_t pixels;
} block;

/* Sums of `count` channels, FG_BLOCK_CHANNELS or fewer, at six pixels. */
static FG_NOINLINE void sum_short(const int8_t *const patch[], const int8_t *weights, int32_t taps,
                                  int32_t count, int32_t *sums) {
    const fg_bytes values[FG_SIX_PIXELS] = {
        fg_load_first(patch[0], taps), fg_load_first(patch[1], taps),
        fg_load_first(patch[2], taps), fg_load_first(patch[3], taps),
        fg_load_first(patch[4], taps), fg_load_first(patch[5], taps)};
    fg_dot_six(values, weights, taps, count, sums);
}

static FG_NOINLINE void sum_middle(const int8_t *const patch[], const int8_t *weights, int32_t taps,
                                   int32_t count, int32_t *sums) {
    const int32_t rest = taps - FG_BYTE_LANES;
    const fg_bytes values[2 * FG_THREE_PIXELS] = {fg_load_bytes(patch[0]),
                                                  fg_load_bytes(patch[1]),
                                                  fg_load_bytes(patch[2]),
                                                  fg_load_first(patch[0] + FG_BYTE_LANES, rest),
                                                  fg_load_first(patch[1] + FG_BYTE_LANES, rest),
                                                  fg_load_first(patch[2] + FG_BYTE_LANES, rest)};
    fg_dot_three(values, weights, taps, count, sums);
}

static FG_NOINLINE void sum_long(const int8_t *const patch[], const int8_t *weights, int32_t taps,
                                 int32_t count, int32_t *sums) {
    fg_dot_long(patch, weights, taps, count, sums);
}

static FG_NOINLINE void convolve_block(const layer *of, const block *seen) {
    const int32_t taps = of->taps;
    const int32_t channels = of->finisher.channels;
    const int8_t *weights = of->weights;
    for (int32_t channel = 0; channel < channels; channel += FG_BLOCK_CHANNELS) {
        const int32_t count = fg_min(channels - channel, FG_BLOCK_CHANNELS);
        const int8_t *const *patch = seen->patch;
        int32_t *sums = of->sums;
        for (int32_t left = seen->pixels; left > 0; left -= of->together) {
            if (taps <= FG_BYTE_LANES) {
                sum_short(patch, weights, taps, count, sums);
            } else if (taps <= 2 * FG_BYTE_LANES) {
                sum_middle(patch, weights, taps, count, sums);
            } else {
                sum_long(patch, weights, taps, count, sums);
            }
            patch += of->together;
            sums += of->together;
        }
        fg_finish_block(&of->finisher, channel, count, of->sums, seen->pixels, seen->output);
        weights += count * taps;
    }
}

/* A lane for each channel: all of one pixel. */
static FG_NOINLINE void convolve_pixel(const layer *of, const int8_t *patch, int8_t *output) {
    const fg_finisher *const to = &of->finisher;
    for (int32_t channel = 0; channel < to->channels; channel += FG_DOT_ROWS) {
        const int32_t count = fg_min(to->channels - channel, FG_DOT_ROWS);
        uint32_t sums[FG_DOT_ROWS];
        fg_dot_rows(patch, of->weights + channel * of->taps, of->taps, to->bias + channel, count,
                    sums);
        fg_requantize(to->scale, to->output, channel, count, sums, output + channel);
    }
}

/* All pixels that have been seen. */
static FG_NOINLINE void flush(const layer *of, block *seen) {
    const int32_t pixels = seen->pixels;
    if (pixels % of->together == 1) {
        const int32_t last = pixels - 1;
        convolve_pixel(of, seen->patch[last], seen->output + last * of->finisher.channels);
        seen->pixels = last;
    } else {
        for (int32_t place = pixels; place % of->together != 0; ++place) {
            seen->patch[place] = seen->patch[pixels - 1];
        }
    }
    if (seen->pixels != 0) {
        convolve_block(of, seen);
    }
    seen->output += pixels * of->finisher.channels;
    seen->pixels = 0;
}

/* `count` patches that lie in the input, `step` bytes from one to the next. */
static FG_NOINLINE void see_row(const layer *of, block *seen, const int8_t *patch, int32_t step,
                                int32_t count) {
    while (count > 0) {
        const int32_t some = fg_min(count, of->most - seen->pixels);
        const int8_t **to = seen->patch + seen->pixels;
        for (int32_t left = some; left > 0; --left) {
            *to++ = patch;
            patch += step;
        }
        seen->pixels += some;
        count -= some;
        if (seen->pixels == of->most) {
            flush(of, seen);
        }
    }
}

void fg_conv2d(const fg_conv2d_params *params, const int8_t *weights, const int32_t *bias,
               const int8_t *input, int8_t *scratch, int8_t *output) {
    const fg_window *window = &params->window;
    const int32_t channels = params->in_channels;
    const int32_t taps = window->kernel_h * window->kernel_w * channels;
    const bool direct = fg_window_contiguous(window);
    int32_t sums[FG_BLOCK_SUMS];
    fg_fill_bytes((int8_t *)sums, 0, (int32_t)sizeof sums);
    const layer of = {
        .finisher = {&params->scale, &params->output, bias, params->out_channels,
                     fg_finish_of(&params->scale, &params->output, params->out_channels)},
        .weights = weights,
        .taps = taps,
        .together = taps <= FG_BYTE_LANES ? FG_SIX_PIXELS : FG_THREE_PIXELS,
        .most = direct ? MOST_PATCHES : patches_of(params),
        .sums = sums};
    block seen = {.output = output, .pixels = 0};
    for (int32_t row = 0; row < window->out_h; ++row) {
        const int32_t top = fg_window_top(window, row);
        int32_t left = -window->pad_left;
        if (direct) {
            see_row(&of, &seen, input + (top * window->in_w + left) * channels,
                    window->stride_w * channels, window->out_w);
            continue;
        }
        for (int32_t column = window->out_w; column > 0; --column) {
            int8_t *const patch = scratch + seen.pixels * taps;
            fg_gather_patch(window, channels, top, left, params->input_zero, input, patch);
            seen.patch[seen.pixels++] = patch;
            if (seen.pixels == of.most) {
                flush(&of, &seen);
            }
            left += window->stride_w;
        }
    }
    if (seen.pixels != 0) {
        flush(&of, &seen);
    }
}

#endif
