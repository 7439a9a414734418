/* SPDX-License-Identifier: Apache-2.0 */
#include "loss.h"

#include "train_math.h"

#define FINE_LIMIT (INT32_C(1) << 28)

uint32_t fg_loss_outputs(const fg_head *head) {
    return head->pooled ? head->outputs : head->positions * head->outputs;
}

void fg_loss_fine(const fg_head *head, int32_t *acc, int16_t *gradient) {
    const uint32_t positions = head->positions;
    const uint32_t outputs = head->outputs;
    const int32_t limit = head->pooled ? FINE_LIMIT / (int32_t)positions : FINE_LIMIT;

    for (uint32_t o = 0; o < outputs; o++) {
        const fg_scale *const scale = head->fine + (o * head->scale_stride);
        const int32_t shift = 30 - scale->exponent - head->growth;
        int32_t sum = 0;
        for (uint32_t n = o; n < positions * outputs; n += outputs) {
            const bool open = !head->relu || acc[n] > 0;
            int32_t fine = 0;
            if (open) {
                fine = (int32_t)fg_shift_round((int64_t)acc[n] * scale->mantissa, shift, limit);
            }
            gradient[n] = open ? 1 : 0;
            sum += fine;
            if (!head->pooled) {
                acc[n] = fine;
            }
        }
        if (head->pooled) {
            acc[o] = sum; /* position 0 of this output was read above */
        }
    }
}

uint32_t fg_argmax(const int8_t *values, uint32_t count) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++) {
        if (values[i] > values[best]) {
            best = i;
        }
    }
    return best;
}
