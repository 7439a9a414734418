/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_dot.h"
#include "fg_fixed_point.h"
#include "fg_patch.h"
#include "fg_requantize.h"
#include "fg_target.h"

#if !FG_DSP && !FG_MVE

/* All output channels of one pixel from its patch of `taps` values. */
static void convolve_pixel(const fg_conv2d_params *params, const int8_t *weights,
                           const int32_t *bias, const int8_t *patch, int32_t taps, int8_t *output) {
    const int32_t channels = params->out_channels;
    for (int32_t channel = 0; channel < channels; channel += FG_DOT_ROWS) {
        const int32_t count = fg_min(channels - channel, FG_DOT_ROWS);
        uint32_t sums[FG_DOT_ROWS];
        fg_dot_rows(patch, weights + channel * taps, taps, bias + channel, count, sums);
        fg_requantize(&params->scale, &params->output, channel, count, sums, output + channel);
    }
}

void fg_conv2d(const fg_conv2d_params *params, const int8_t *weights, const int32_t *bias,
               const int8_t *input, int8_t *scratch, int8_t *output) {
    const fg_window *window = &params->window;
    const int32_t channels = params->in_channels;
    const int32_t taps = window->kernel_h * window->kernel_w * channels;
    const bool direct = fg_window_contiguous(window);
    for (int32_t row = 0; row < window->out_h; ++row) {
        const int32_t top = fg_window_top(window, row);
        for (int32_t column = 0; column < window->out_w; ++column) {
            const int32_t left = fg_window_left(window, column);
            const int8_t *patch = scratch;
            if (direct) {
                patch = input + (top * window->in_w + left) * channels;
            } else {
                fg_gather_patch(window, channels, top, left, params->input_zero, input, scratch);
            }
            convolve_pixel(params, weights, bias, patch, taps, output);
            output += params->out_channels;
        }
    }
}

#endif
