/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "../kernels/fg_target.h"
#include "error_pass.h"
#include "window.h"

#if FG_MVE
#include "mve/depthwise_error_mve.h"
#elif FG_DSP
#include "dsp/depthwise_error_dsp.h"
#endif

/* What one output pixel sends back through one tap. */
static void add_pixel(const fg_backward *layer, const fg_split_weights *weights,
                      const int8_t *restrict errors, int32_t tap, int32_t *restrict sums) {
    const int32_t outputs = layer->out_channels;
    const int32_t trained = layer->trained;
    const int32_t multiplier = outputs / layer->in_channels;
    const int32_t half = (int32_t)(UINT32_C(1) << ((uint32_t)layer->ratio.shift - 1U));
    const int16_t *ratio = layer->ratio.value;
    int32_t copy = 0; /* of the input channel that `sums` points to */
    for (int32_t o = 0; o < outputs; o++) {
        const int32_t weight = (o < trained)
                                   ? weights->trained[tap * trained + o]
                                   : weights->frozen[tap * (outputs - trained) + o - trained];
        *sums += ((errors[o] * *ratio + half) >> layer->ratio.shift) * weight;
        ratio += layer->ratio.step;
        if (++copy == multiplier) {
            copy = 0;
            sums++;
        }
    }
}

fg_peaks fg_depthwise_error_pass(const fg_backward *layer, const fg_split_weights *weights,
                                 const int8_t *errors, const fg_mask *mask, int32_t shift,
                                 int32_t *sums, int8_t *made) {
#if FG_MVE
    if (fg_depthwise_error_has_planes(layer)) {
        return fg_depthwise_error_planes(layer, weights, errors, mask, shift, sums, made);
    }
#elif FG_DSP
    if (fg_depthwise_error_fits(layer)) {
        return fg_depthwise_error_strips(layer, weights, errors, mask, shift, sums, made);
    }
#endif
    const fg_window *const window = &layer->window;
    const uint32_t inputs = (uint32_t)layer->in_channels;
    fg_peaks peaks = {0U, 0U};
    uint32_t index = 0;
    for (int32_t y = 0; y < window->in_h; y++) {
        for (int32_t x = 0; x < window->in_w; x++) {
            memset(sums, 0, inputs * sizeof *sums);
            for (int32_t ky = 0; ky < window->kernel_h; ky++) {
                const int32_t row = fg_reader_row(window, y, ky);
                for (int32_t kx = 0; row >= 0 && kx < window->kernel_w; kx++) {
                    const int32_t column = fg_reader_column(window, x, kx);
                    if (column >= 0) {
                        const int32_t pixel = row * window->out_w + column;
                        add_pixel(layer, weights, errors + pixel * layer->out_channels,
                                  ky * window->kernel_w + kx, sums);
                    }
                }
            }
            fg_error_store(sums, inputs, mask, index, shift, made, &peaks);
            index += inputs;
        }
    }
    return peaks;
}
