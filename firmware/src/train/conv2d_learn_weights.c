/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "../kernels/fg_target.h"
#include "learn.h"
#include "window.h"

#if !FG_MVE

#if FG_DSP
#include "dsp/conv2d_learn_dsp.h"
#endif

/* Adds the products of one error with the inputs that its window saw. */
static void add_window(const fg_backward *layer, int32_t row, int32_t column, int32_t error,
                       const int8_t *input, int32_t *sums) {
    const fg_window *const window = &layer->window;
    const int32_t inputs = layer->in_channels;
    const int32_t zero = layer->input_zero;
    for (int32_t ky = 0; ky < window->kernel_h; ky++) {
        const int32_t y = fg_tap_row(window, row, ky);
        for (int32_t kx = 0; kx < window->kernel_w; kx++) {
            const int32_t x = fg_tap_column(window, column, kx);
            if (y >= 0 && x >= 0) {
                const int8_t *restrict seen = input + (y * window->in_w + x) * inputs;
                int32_t *restrict sum = sums;
                for (int32_t i = 0; i < inputs; i++) {
                    sum[i] += error * (seen[i] - zero);
                }
            }
            sums += inputs;
        }
    }
}

void fg_conv2d_learn_weights(const fg_backward *layer, const fg_learning *learning,
                             const int8_t *errors, const int8_t *input, int32_t *scratch,
                             int16_t *masters, int8_t *shadow) {
#if FG_DSP
    if (fg_conv2d_learn_tiles(layer, learning, errors, input, scratch, masters, shadow)) {
        return;
    }
#endif
    const fg_window *const window = &layer->window;
    const int32_t taps = window->kernel_h * window->kernel_w * layer->in_channels;
    int32_t *const sums = scratch;
    for (int32_t o = 0; o < layer->trained; o++) {
        const int8_t *error = errors + o;
        memset(sums, 0, (uint32_t)taps * sizeof *sums);
        for (int32_t row = 0; row < window->out_h; row++) {
            for (int32_t column = 0; column < window->out_w; column++) {
                if (*error != 0) {
                    add_window(layer, row, column, *error, input, sums);
                }
                error += layer->out_channels;
            }
        }
        fg_learn_weights(learning, o, 0, taps, sums, 1, masters, shadow);
        masters += taps;
        shadow += taps;
    }
}

#endif
