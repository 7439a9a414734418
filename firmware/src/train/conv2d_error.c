/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "error_pass.h"

static void walk(const fg_backward *layer, const fg_split_weights *weights, const fg_error *from,
                 fg_error_source errors, const fg_mask *mask, int32_t *sums, fg_error *to,
                 int8_t *made) {
    const fg_window *const window = &layer->window;
    const int32_t count = window->in_h * window->in_w * layer->in_channels;
    if (fg_error_none(from, to, made, (uint32_t)count)) {
        return;
    }
    fg_peaks peaks;
    if (to->gain == FG_GAIN_UNKNOWN) {
        peaks = fg_conv2d_error_pass(layer, weights, errors, mask, 0, sums, NULL);
        fg_error_expect(to, from, &peaks);
    }
    const int32_t shift = fg_error_shift(to, from);
    peaks = fg_conv2d_error_pass(layer, weights, errors, mask, shift, sums, made);
    fg_error_expect(to, from, &peaks);
    to->exponent = (int16_t)(from->exponent + layer->ratio.exponent + shift);
    to->bits = fg_bit_length(peaks.kept);
}

void fg_conv2d_error(const fg_backward *layer, const fg_split_weights *weights,
                     const fg_error *from, const int8_t *errors, const fg_mask *mask, int32_t *sums,
                     fg_error *to, int8_t *made) {
    const fg_error_source narrow = {errors, NULL};
    walk(layer, weights, from, narrow, mask, sums, to, made);
}

void fg_conv2d_error_of_loss(const fg_backward *layer, const fg_split_weights *weights,
                             const fg_error *from, const int16_t *gradient, const fg_mask *mask,
                             int32_t *sums, fg_error *to, int8_t *made) {
    const fg_error_source wide = {NULL, gradient};
    walk(layer, weights, from, wide, mask, sums, to, made);
}
