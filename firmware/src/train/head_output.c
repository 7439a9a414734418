/* SPDX-License-Identifier: Apache-2.0 */
#include "../kernels/fg_fixed_point.h"
#include "fleetgrad/fg_train.h"

void fg_head_output_once(const fg_head *head, const int32_t *acc, const fg_wide_scale *scale,
                         const fg_output *output, int8_t *y) {
    for (uint32_t p = 0; p < head->positions; p++) {
        for (uint32_t o = 0; o < head->outputs; o++) {
            const fg_wide_scale *const own = scale + (o * head->scale_stride);
            *y++ = fg_to_output(fg_scale_once(*acc++, own), output);
        }
    }
}

void fg_head_output_twice(const fg_head *head, const int32_t *acc, const fg_channel_scale *scale,
                          const fg_output *output, int8_t *y) {
    for (uint32_t p = 0; p < head->positions; p++) {
        for (uint32_t o = 0; o < head->outputs; o++) {
            const int32_t scaled = fg_scale_twice(*acc++, scale->value[o], scale->shift[o]);
            *y++ = fg_to_output(scaled, output);
        }
    }
}
