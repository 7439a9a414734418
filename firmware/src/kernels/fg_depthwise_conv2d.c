/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "fg_fixed_point.h"
#include "fg_patch.h"

#define LANES 4

/* What the window of one pixel sees, in the input itself or gathered. */
typedef struct view {
    const int8_t *taps;
    int32_t row_step; /* from a tap to the one below */
    int32_t tap_step; /* from a tap to the one on its right */
} view;

static int8_t finish(const fg_depthwise_conv2d_params *params, int32_t channel, uint32_t sum) {
    const int32_t scaled =
        fg_scale_twice((int32_t)sum, params->scale.value[channel], params->scale.shift[channel]);
    return fg_to_output(scaled, &params->output);
}

/* LANES neighbouring channels, one output per input channel. */
static void convolve_lanes(const fg_window *window, const view *seen, const int8_t *weights,
                           int32_t channels, uint32_t sums[LANES]) {
    uint32_t sum0 = sums[0];
    uint32_t sum1 = sums[1];
    uint32_t sum2 = sums[2];
    uint32_t sum3 = sums[3];
    const int8_t *row = seen->taps;
    for (int32_t ky = window->kernel_h; ky > 0; --ky) {
        const int8_t *tap = row;
        for (int32_t kx = window->kernel_w; kx > 0; --kx) {
            sum0 += (uint32_t)(tap[0] * weights[0]);
            sum1 += (uint32_t)(tap[1] * weights[1]);
            sum2 += (uint32_t)(tap[2] * weights[2]);
            sum3 += (uint32_t)(tap[3] * weights[3]);
            tap += seen->tap_step;
            weights += channels;
        }
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
    int32_t channel = 0;
    for (; multiplier == 1 && channel + LANES <= channels; channel += LANES) {
        uint32_t sums[LANES];
        for (int32_t lane = 0; lane < LANES; ++lane) {
            sums[lane] = (uint32_t)bias[channel + lane];
        }
        convolve_lanes(window, &seen, weights + channel, channels, sums);
        for (int32_t lane = 0; lane < LANES; ++lane) {
            output[channel + lane] = finish(params, channel + lane, sums[lane]);
        }
        seen.taps += LANES;
    }
    for (int32_t copy = 0; channel < channels; ++channel) {
        const uint32_t sum =
            (uint32_t)bias[channel] + convolve_channel(window, &seen, weights + channel, channels);
        output[channel] = finish(params, channel, sum);
        if (++copy == multiplier) {
            copy = 0;
            ++seen.taps;
        }
    }
}

void fg_depthwise_conv2d(const fg_depthwise_conv2d_params *params, const int8_t *weights,
                         const int32_t *bias, const int8_t *input, int8_t *scratch,
                         int8_t *output) {
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
            if (scratch == NULL || fg_window_inside(window, top, left)) {
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
