/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "fg_fixed_point.h"
#include "fg_patch.h"
#include "fg_requantize.h"
#include "fg_target.h"

#if FG_MVE
#include "mve/fg_depthwise_mve.h"
#elif FG_DSP
#include "dsp/fg_depthwise_dsp.h"
#endif

#define LANES 4

/* What the window of one pixel sees, in the input itself or gathered. */
typedef struct view {
    const int8_t *taps;
    int32_t row_step; /* from a tap to the one below */
    int32_t tap_step; /* from a tap to the one on its right */
} view;

/* LANES neighbouring channels, one output per input channel. */
static void convolve_lanes(const fg_window *window, const view *seen, const int8_t *weights,
                           int32_t channels, const int32_t *bias, uint32_t sums[LANES]) {
    uint32_t sum0 = (uint32_t)bias[0];
    uint32_t sum1 = (uint32_t)bias[1];
    uint32_t sum2 = (uint32_t)bias[2];
    uint32_t sum3 = (uint32_t)bias[3];
    const int32_t tap_step = seen->tap_step;
    const int8_t *row = seen->taps;
    for (int32_t ky = window->kernel_h; ky > 0; --ky) {
        const int8_t *tap = row;
        int32_t kx = window->kernel_w;
        do {
            sum0 += (uint32_t)(tap[0] * weights[0]);
            sum1 += (uint32_t)(tap[1] * weights[1]);
            sum2 += (uint32_t)(tap[2] * weights[2]);
            sum3 += (uint32_t)(tap[3] * weights[3]);
            tap += tap_step;
            weights += channels;
        } while (--kx > 0);
        row += seen->row_step;
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

/* One output channel. */
static uint32_t convolve_channel(const fg_window *window, const view *seen, const int8_t *weights,
                                 int32_t channels) {
    uint32_t sum = 0;
    const int8_t *row = seen->taps;
    for (int32_t ky = window->kernel_h; ky > 0; --ky) {
        const int8_t *tap = row;
        for (int32_t kx = window->kernel_w; kx > 0; --kx) {
            sum += (uint32_t)(*tap * *weights);
            tap += seen->tap_step;
            weights += channels;
        }
        row += seen->row_step;
    }
    return sum;
}

static void convolve_pixel(const fg_depthwise_conv2d_params *params, const int8_t *weights,
                           const int32_t *bias, view seen, int8_t *output) {
    const fg_window *window = &params->window;
    const int32_t multiplier = params->multiplier;
    const int32_t channels = params->in_channels * multiplier;
    int32_t copy = 0; /* of the input channel that seen.taps points to */
    for (int32_t channel = 0; channel < channels; channel += LANES) {
        const int32_t count = fg_min(channels - channel, LANES);
        uint32_t sums[LANES];
        if (multiplier == 1 && count == LANES) {
            convolve_lanes(window, &seen, weights + channel, channels, bias + channel, sums);
            seen.taps += LANES;
        } else {
            for (int32_t lane = 0; lane < count; ++lane) {
                const int8_t *filter = weights + channel + lane;
                sums[lane] = (uint32_t)bias[channel + lane] +
                             convolve_channel(window, &seen, filter, channels);
                if (++copy == multiplier) {
                    copy = 0;
                    ++seen.taps;
                }
            }
        }
        fg_requantize(&params->scale, &params->output, channel, count, sums, output + channel);
    }
}

void fg_depthwise_conv2d(const fg_depthwise_conv2d_params *params, const int8_t *weights,
                         const int32_t *bias, const int8_t *input, int8_t *scratch,
                         int8_t *output) {
#if FG_MVE
    if (fg_depthwise_has_planes(params)) {
        fg_depthwise_planes(params, weights, bias, input, scratch, output);
        return;
    }
#elif FG_DSP
    if (params->multiplier == 1) {
        fg_depthwise_strips(params, weights, bias, input, scratch, output);
        return;
    }
#endif
    const fg_window *window = &params->window;
    const int32_t channels = params->in_channels;
    const view direct = {NULL, window->dilation_h * window->in_w * channels,
                         window->dilation_w * channels};
    const view gathered = {scratch, window->kernel_w * channels, channels};
    for (int32_t row = 0; row < window->out_h; ++row) {
        const int32_t top = fg_window_top(window, row);
        for (int32_t column = 0; column < window->out_w; ++column) {
            const int32_t left = fg_window_left(window, column);
            view seen = direct;
            if (fg_window_inside(window, top, left)) {
                seen.taps = input + (top * window->in_w + left) * channels;
            } else {
                fg_gather_patch(window, channels, top, left, params->input_zero, input, scratch);
                seen = gathered;
            }
            convolve_pixel(params, weights, bias, seen, output);
            output += channels * params->multiplier;
        }
    }
}
