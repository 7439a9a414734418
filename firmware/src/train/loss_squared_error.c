/* SPDX-License-Identifier: Apache-2.0 */
#include "loss.h"

#include "train_math.h"

uint32_t fg_loss_mean_square(uint64_t squares, uint32_t values) {
    /* 128^2 squared units to 1/1024 of one, and the mean: / (16 * values). */
    const uint64_t mean = (squares + 8U * (uint64_t)values) / (16U * (uint64_t)values);
    return (uint32_t)mean;
}

uint32_t fg_loss_squared_error(const fg_head *head, const int8_t *target, int32_t zero_point,
                               int32_t *acc, int16_t *gradient) {
    const uint32_t values = fg_loss_outputs(head);
    const uint32_t rows = head->positions * head->outputs;
    uint64_t squares = 0;
    fg_loss_fine(head, acc, gradient);

    for (uint32_t v = 0; v < values; v++) {
        const int32_t wanted = (target[v] - zero_point) * 128;
        const int32_t error = fg_clamp32(acc[v] - wanted, INT16_MAX);
        squares += (uint64_t)((int64_t)error * error);
        /* Pooled: the same error at every position of this output. Else: at this one only. */
        for (uint32_t n = v; n < rows; n += values) {
            gradient[n] = (int16_t)(gradient[n] * error);
        }
    }
    return fg_loss_mean_square(squares, values);
}
