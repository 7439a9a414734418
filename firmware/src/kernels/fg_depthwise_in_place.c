/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "fg_fixed_point.h"
#include "fg_patch.h"
#include "fg_target.h"
#include "fleetgrad/fg_kernels.h"

#if FG_MVE
#include "mve/fg_depthwise_mve.h"
#elif FG_DSP
#include "dsp/fg_depthwise_dsp.h"
#endif

/* A strip of channels is computed row by row. What the windows of a row see is kept in a band of
 * the strip's own, and outputs reach only rows that are in the band already or not needed any more:
 * output rows are no wider than input rows, and begin no further down than their windows. */

typedef struct strip {
    const fg_depthwise_conv2d_params *params;
    fg_depthwise_conv2d_params row; /* of one row of outputs, of the strip's channels */
    int32_t channel;
    int8_t *weights, *band, *made, *rest;
} strip;

/* Copies `count` runs of `length` bytes. */
static void copy_runs(int8_t *to, int32_t to_step, const int8_t *from, int32_t from_step,
                      int32_t length, int32_t count) {
    for (; count > 0; --count) {
        int32_t left = length;
        for (; left >= 4; left -= 4) {
            memcpy(to + length - left, from + length - left, 4);
        }
        for (; left > 0; --left) {
            to[length - left] = from[length - left];
        }
        to += to_step;
        from += from_step;
    }
}

static void convolve_strip(strip *of, const int32_t *bias, int8_t *data) {
    const fg_window *whole = &of->params->window;
    const int32_t all = of->params->in_channels;
    const int32_t lanes = of->row.in_channels;
    const int32_t reach = (whole->kernel_h - 1) * whole->dilation_h + 1;
    const int32_t pitch = whole->in_w * lanes;
    int32_t first = 0; /* rows of the input that the band holds */
    int32_t end = 0;
    for (int32_t row = 0; row < whole->out_h; ++row) {
        const int32_t top = fg_window_top(whole, row);
        const int32_t from = fg_clamp(top, 0, end);
        memmove(of->band, of->band + (from - first) * pitch, (size_t)((end - from) * pitch));
        first = from;
        const int32_t bottom = fg_clamp(top + reach, end, whole->in_h);
        copy_runs(of->band + (end - first) * pitch, lanes,
                  data + end * whole->in_w * all + of->channel, all, lanes,
                  (bottom - end) * whole->in_w);
        end = bottom;
        of->row.window.in_h = (int16_t)(end - first);
        of->row.window.pad_top = (int16_t)(first - top);
        fg_depthwise_conv2d(&of->row, of->weights, bias + of->channel, of->band, of->rest,
                            of->made);
        copy_runs(data + row * whole->out_w * all + of->channel, all, of->made, lanes, lanes,
                  whole->out_w);
    }
}

void fg_depthwise_conv2d_in_place(const fg_depthwise_conv2d_params *params, const int8_t *weights,
                                  const int32_t *bias, int8_t *scratch, int8_t *data) {
    const fg_window *window = &params->window;
    /* Both work on rows of their own, too, and read each one once. */
#if FG_MVE
    if (window->dilation_h == 1 && fg_depthwise_has_planes(params)) {
        fg_depthwise_planes(params, weights, bias, data, scratch, data);
        return;
    }
#elif FG_DSP
    if (window->dilation_h == 1) {
        fg_depthwise_strips(params, weights, bias, data, scratch, data);
        return;
    }
#endif
    const int32_t channels = params->in_channels;
    const int32_t taps = window->kernel_h * window->kernel_w;
    const int32_t reach = (window->kernel_h - 1) * window->dilation_h + 1;
    strip of = {.params = params, .row = *params};
    of.row.window.out_h = 1;
    of.weights = scratch;
    of.band = of.weights + taps * FG_IN_PLACE_LANES;
    of.made = of.band + fg_min(reach, window->in_h) * window->in_w * FG_IN_PLACE_LANES;
    of.rest = of.made + window->out_w * FG_IN_PLACE_LANES;
    for (of.channel = 0; of.channel < channels; of.channel += FG_IN_PLACE_LANES) {
        const int32_t lanes = fg_min(channels - of.channel, FG_IN_PLACE_LANES);
        of.row.in_channels = (int16_t)lanes;
        of.row.scale.value = params->scale.value + of.channel;
        of.row.scale.shift = params->scale.shift + of.channel;
        copy_runs(of.weights, lanes, weights + of.channel, channels, lanes, taps);
        convolve_strip(&of, bias, data);
    }
}
