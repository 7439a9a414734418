/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "../kernels/fg_target.h"
#include "error_pass.h"
#include "window.h"

#if !FG_DSP && !FG_MVE

#define LANES 4U

/* Products that wait to be added to the sums, LANES at a time. */
typedef struct lanes {
    int32_t factor[LANES];
    const int8_t *weights[LANES];
    uint32_t used;
} lanes;

static void flush(lanes *waiting, int32_t *restrict sums, uint32_t count) {
    if (waiting->used == 0U) {
        return;
    }
    for (uint32_t lane = waiting->used; lane < LANES; lane++) {
        waiting->factor[lane] = 0;
        waiting->weights[lane] = waiting->weights[0];
    }
    const int32_t f0 = waiting->factor[0];
    const int32_t f1 = waiting->factor[1];
    const int32_t f2 = waiting->factor[2];
    const int32_t f3 = waiting->factor[3];
    const int8_t *restrict w0 = waiting->weights[0];
    const int8_t *restrict w1 = waiting->weights[1];
    const int8_t *restrict w2 = waiting->weights[2];
    const int8_t *restrict w3 = waiting->weights[3];
    for (uint32_t i = 0; i < count; i++) {
        sums[i] += f0 * w0[i] + f1 * w1[i] + f2 * w2[i] + f3 * w3[i];
    }
    waiting->used = 0U;
}

/* What one output pixel sends back through one tap. */
static void add_pixel(const fg_backward *layer, const fg_split_weights *weights,
                      fg_error_source from, int32_t pixel, int32_t tap, lanes *waiting,
                      int32_t *sums) {
    const int32_t inputs = layer->in_channels;
    const int32_t outputs = layer->out_channels;
    const int32_t row = layer->window.kernel_h * layer->window.kernel_w * inputs;
    const int32_t half = (int32_t)(UINT32_C(1) << ((uint32_t)layer->ratio.shift - 1U));
    for (int32_t o = 0; o < outputs; o++) {
        const int32_t at = pixel * outputs + o;
        const int32_t error = (from.errors != NULL) ? from.errors[at] : from.gradient[at];
        if (error == 0) {
            continue;
        }
        const bool trained = o < layer->trained;
        const int8_t *first = trained ? weights->trained : weights->frozen;
        const int32_t channel = trained ? o : o - layer->trained;
        const int32_t ratio = layer->ratio.value[o * layer->ratio.step];
        waiting->factor[waiting->used] = (error * ratio + half) >> layer->ratio.shift;
        waiting->weights[waiting->used] = first + channel * row + tap * inputs;
        if (++waiting->used == LANES) {
            flush(waiting, sums, (uint32_t)inputs);
        }
    }
}

/* All errors of the input once; with `made` NULL they are only measured. */
fg_peaks fg_conv2d_error_pass(const fg_backward *layer, const fg_split_weights *weights,
                              fg_error_source from, const fg_mask *mask, int32_t shift,
                              int32_t *sums, int8_t *made) {
    const fg_window *const window = &layer->window;
    const uint32_t inputs = (uint32_t)layer->in_channels;
    fg_peaks peaks = {0U, 0U};
    uint32_t index = 0;
    for (int32_t y = 0; y < window->in_h; y++) {
        for (int32_t x = 0; x < window->in_w; x++) {
            lanes waiting = {.used = 0U};
            memset(sums, 0, inputs * sizeof *sums);
            for (int32_t ky = 0; ky < window->kernel_h; ky++) {
                const int32_t row = fg_reader_row(window, y, ky);
                for (int32_t kx = 0; row >= 0 && kx < window->kernel_w; kx++) {
                    const int32_t column = fg_reader_column(window, x, kx);
                    if (column >= 0) {
                        add_pixel(layer, weights, from, row * window->out_w + column,
                                  ky * window->kernel_w + kx, &waiting, sums);
                    }
                }
            }
            flush(&waiting, sums, inputs);
            fg_error_store(sums, inputs, mask, index, shift, made, &peaks);
            index += inputs;
        }
    }
    return peaks;
}

#endif
