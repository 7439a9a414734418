/* SPDX-License-Identifier: Apache-2.0 */
#include "../fg_patch.h"
#include "../fg_requantize.h"
#include "../fg_target.h"
#include "fg_block_dsp.h"
#include "fg_conv2d_tiles_dsp.h"
#include "fg_patch_dsp.h"
#include "fg_scale_dsp.h"

#if FG_DSP && !FG_MVE

/* What the pixels of a layer share. */
typedef struct layer {
    const fg_conv2d_params *params;
    const int8_t *weights;
    const int32_t *bias;
    const uint32_t *words; /* of two pixels */
    int32_t taps;
} layer;

/* Sums of `channel` and of the one `next` further on. */
static FG_NOINLINE void multiply(const layer *of, int32_t channel, int32_t next, fg_block *result) {
    const int32_t taps = of->taps;
    const int32_t rest = taps & 3;
    const int32_t most = taps - rest;
    const uint32_t *const end = of->words + most;
    const int8_t *first = of->weights + channel * taps;
    const int8_t *second = first + next * taps;
    const int32_t *bias = of->bias + channel;
    fg_block sums = fg_block_of(bias[0], bias[next]);
    if (most != 0) {
        fg_add_quads(&sums, of->words, end, first, second);
    }
    if (rest != 0) {
        fg_add_quad(&sums, end, fg_load_rest(first + most, rest, most),
                    fg_load_rest(second + most, rest, most));
    }
    *result = sums;
}

/* The first `count` channels of two pixels, an even number, where the scale is quick. */
static FG_INLINE void usual_channels(const layer *of, int32_t count, bool whole, int8_t *at0,
                                     int8_t *at1) {
    const int32_t *value = of->params->scale.value;
    const int8_t *shift = of->params->scale.shift;
    const fg_limits limits = fg_limits_of(&of->params->output);
    for (int32_t channel = 0; channel != count; channel += 2) {
        fg_block sums;
        multiply(of, channel, 1, &sums);
        const fg_factor factor0 = fg_factor_of(value[channel], shift[channel]);
        at1[channel] = fg_output_of(sums.first1, factor0, &limits, whole);
        at0[channel] = fg_output_of(sums.first0, factor0, &limits, whole);
        const fg_factor factor1 = fg_factor_of(value[channel + 1], shift[channel + 1]);
        at1[channel + 1] = fg_output_of(sums.second1, factor1, &limits, whole);
        at0[channel + 1] = fg_output_of(sums.second0, factor1, &limits, whole);
    }
}

static FG_NOINLINE void whole_channels(const layer *of, int32_t count, int8_t *at0, int8_t *at1) {
    usual_channels(of, count, true, at0, at1);
}

static FG_NOINLINE void clamped_channels(const layer *of, int32_t count, int8_t *at0, int8_t *at1) {
    usual_channels(of, count, false, at0, at1);
}

/* Channels from `channel` on. An odd number ends with one that is computed twice. */
static FG_NOINLINE void any_channels(const layer *of, int32_t channel, int8_t *at0, int8_t *at1) {
    const fg_conv2d_params *params = of->params;
    for (; channel < params->out_channels; channel += 2) {
        const int32_t count = fg_min(params->out_channels - channel, 2);
        fg_block sums;
        multiply(of, channel, count - 1, &sums);
        const uint32_t pixel0[2] = {sums.first0, sums.second0};
        const uint32_t pixel1[2] = {sums.first1, sums.second1};
        fg_requantize(&params->scale, &params->output, channel, count, pixel1, at1 + channel);
        fg_requantize(&params->scale, &params->output, channel, count, pixel0, at0 + channel);
    }
}

/* All channels of two pixels. Pixel 0 is written last: where there is no pixel 1, both lie at the
 * same place. */
static void compute(const layer *of, int8_t *at0, int8_t *at1) {
    const fg_conv2d_params *params = of->params;
    const int32_t done = params->scale.quick ? params->out_channels & ~1 : 0;
    if (fg_limits_of(&params->output).whole) {
        whole_channels(of, done, at0, at1);
    } else {
        clamped_channels(of, done, at0, at1);
    }
    any_channels(of, done, at0, at1);
}

void fg_conv2d(const fg_conv2d_params *params, const int8_t *weights, const int32_t *bias,
               const int8_t *input, int8_t *scratch, int8_t *output) {
    const fg_window *window = &params->window;
    const int32_t channels = params->in_channels;
    const int32_t taps = window->kernel_h * window->kernel_w * channels;
    if (fg_conv2d_fits_tiles(params)) {
        fg_conv2d_tiles(params, weights, bias, input, scratch, output);
        return;
    }
    uint32_t *words = (uint32_t *)(void *)scratch;
    int8_t *bytes = scratch + (taps + 3) / 4 * FG_QUAD_WORDS * (int32_t)sizeof *words;
    const fg_spreading spreading = fg_spreading_of(window, channels, params->input_zero, bytes, 1);
    const layer of = {params, weights, bias, words, taps};
    int32_t waiting = 0; /* pixels that are spread, but not computed */
    for (int32_t row = 0; row < window->out_h; ++row) {
        const int32_t top = fg_window_top(window, row);
        for (int32_t column = 0; column < window->out_w; ++column) {
            const int32_t left = fg_window_left(window, column);
            fg_spread_patch(&spreading, top, left, input, words + waiting * FG_PIXEL_WORDS);
            if (++waiting == 2) {
                compute(&of, output, output + params->out_channels);
                output += 2 * params->out_channels;
                waiting = 0;
            }
        }
    }
    if (waiting != 0) {
        compute(&of, output, output);
    }
}

#endif
