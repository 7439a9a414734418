/* SPDX-License-Identifier: Apache-2.0 */
#include "loss.h"
#include "loss_power.h"

uint32_t fg_loss_cross_entropy(const fg_head *head, uint32_t label, int32_t *acc,
                               int16_t *gradient) {
    const uint32_t outputs = head->outputs;
    fg_loss_fine(head, acc, gradient);

    int32_t highest = acc[0];
    for (uint32_t o = 1; o < outputs; o++) {
        highest = (acc[o] > highest) ? acc[o] : highest;
    }
    const uint32_t missed = (uint32_t)(highest - acc[label]);
    uint32_t sum = 0;
    for (uint32_t o = 0; o < outputs; o++) {
        const uint32_t power = fg_power_of_two((uint32_t)(highest - acc[o]));
        acc[o] = (int32_t)power;
        sum += power;
    }
    for (uint32_t o = 0; o < outputs; o++) {
        /* Rounded, so that the probabilities' errors cancel instead of adding up to a drift. */
        int32_t slope = (int32_t)((((uint32_t)acc[o] << 15) + (sum >> 1)) / sum);
        if (o == label) {
            slope -= 32768;
        } else if (slope > INT16_MAX) {
            slope = INT16_MAX;
        }
        for (uint32_t n = o; n < head->positions * outputs; n += outputs) {
            gradient[n] = (int16_t)(gradient[n] * slope);
        }
    }
    const uint32_t bits = missed + fg_log_of(sum);
    return (bits > 16U * FG_LOGIT_UNIT) ? bits - 16U * FG_LOGIT_UNIT : 0U;
}
