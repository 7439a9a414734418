/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "error_pass.h"

void fg_depthwise_error(const fg_backward *layer, const fg_split_weights *weights,
                        const fg_error *from, const int8_t *errors, const fg_mask *mask,
                        int32_t *sums, fg_error *to, int8_t *made) {
    const fg_window *const window = &layer->window;
    const int32_t count = window->in_h * window->in_w * layer->in_channels;
    if (fg_error_none(from, to, made, (uint32_t)count)) {
        return;
    }
    fg_peaks peaks;
    if (to->gain == FG_GAIN_UNKNOWN) {
        peaks = fg_depthwise_error_pass(layer, weights, errors, mask, 0, sums, NULL);
        fg_error_expect(to, from, &peaks);
    }
    const int32_t shift = fg_error_shift(to, from);
    peaks = fg_depthwise_error_pass(layer, weights, errors, mask, shift, sums, made);
    fg_error_expect(to, from, &peaks);
    to->exponent = (int16_t)(from->exponent + layer->ratio.exponent + shift);
    to->bits = fg_bit_length(peaks.kept);
}
