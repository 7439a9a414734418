/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "fg_dot.h"
#include "fg_fixed_point.h"
#include "fg_patch.h"

static int8_t finish(const fg_conv2d_params *params, int32_t channel, uint32_t sum) {
    const int32_t scaled =
        fg_scale_twice((int32_t)sum, params->scale.value[channel], params->scale.shift[channel]);
    return fg_to_output(scaled, &params->output);
}

/* All output channels of one pixel from its patch of `taps` values. */
static void convolve_pixel(const fg_conv2d_params *params, const int8_t *weights,
                           const int32_t *bias, const int8_t *patch, int32_t taps, int8_t *output) {
    const int32_t channels = params->out_channels;
    int32_t channel = 0;
    for (; channel + FG_DOT_ROWS <= channels; channel += FG_DOT_ROWS) {
        uint32_t sums[FG_DOT_ROWS];
        for (int32_t row = 0; row < FG_DOT_ROWS; ++row) {
            sums[row] = (uint32_t)bias[channel + row];
        }
        fg_dot_rows(patch, weights + channel * taps, taps, sums);
        for (int32_t row = 0; row < FG_DOT_ROWS; ++row) {
            output[channel + row] = finish(params, channel + row, sums[row]);
        }
    }
    for (; channel < channels; ++channel) {
        const uint32_t sum =
            (uint32_t)bias[channel] + fg_dot(patch, weights + channel * taps, taps);
        output[channel] = finish(params, channel, sum);
    }
}

void fg_conv2d(const fg_conv2d_params *params, const int8_t *weights, const int32_t *bias,
               const int8_t *input, int8_t *scratch, int8_t *output) {
    const fg_window *window = &params->window;
    const int32_t channels = params->in_channels;
    const int32_t taps = window->kernel_h * window->kernel_w * channels;
    for (int32_t row = 0; row < window->out_h; ++row) {
        const int32_t top = fg_window_top(window, row);
        for (int32_t column = 0; column < window->out_w; ++column) {
            const int32_t left = fg_window_left(window, column);
            const int8_t *patch = scratch;
            if (scratch == NULL) {
                patch = input + (top * window->in_w + left) * channels;
            } else {
                fg_gather_patch(window, channels, top, left, params->input_zero, input, scratch);
            }
            convolve_pixel(params, weights, bias, patch, taps, output);
            output += params->out_channels;
        }
    }
}
