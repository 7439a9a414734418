/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "loss.h"
#include "loss_power.h"

#include "train_math.h"

#define CHANCE_BITS 15
#define CERTAIN     (INT32_C(1) << CHANCE_BITS)

/* What a logit says: the chance of 1 in 2^-15, and 1024 * log2(1 + 2^-|logit|). */
typedef struct verdict {
    int32_t chance;
    uint32_t bits;
} verdict;

static uint32_t size_of(int32_t fine) {
    return (fine < 0) ? 0U - (uint32_t)fine : (uint32_t)fine;
}

static verdict judge(int32_t fine) {
    const uint32_t small = fg_power_of_two(size_of(fine));
    const uint32_t total = 65536U + small;
    const uint32_t share = (fine >= 0) ? 65536U : small;
    const uint32_t chance = ((share << CHANCE_BITS) + (total >> 1)) / total;
    return (verdict){(int32_t)chance, fg_log_of(total) - 16U * FG_LOGIT_UNIT};
}

/* An output of the model as a chance: 127 stands for 1. */
static int32_t chance_of(int8_t target) {
    const int32_t steps = target + 128;
    return ((steps == 255) ? 256 : steps) * (CERTAIN / 256);
}

/* The gradient of an output, at every position that it is the mean of. */
static void spread(const fg_head *head, uint32_t output, int32_t slope, int16_t *gradient) {
    const int32_t kept = (slope > INT16_MAX) ? INT16_MAX : slope;
    const uint32_t rows = head->positions * head->outputs;
    for (uint32_t n = output; n < rows; n += fg_loss_outputs(head)) {
        gradient[n] = (int16_t)(gradient[n] * kept);
    }
}

uint32_t fg_loss_binary_cross_entropy(const fg_head *head, uint32_t label, const int8_t *target,
                                      int32_t *acc, int16_t *gradient) {
    const uint32_t values = fg_loss_outputs(head);
    uint64_t cost = 0;
    fg_loss_fine(head, acc, gradient);

    for (uint32_t v = 0; v < values; v++) {
        const verdict found = judge(acc[v]);
        const int32_t wanted =
            (target != NULL) ? chance_of(target[v]) : ((label != 0U) ? CERTAIN : 0);
        /* What the distance costs: all of it for the wrong answer, nothing for the right one. */
        const uint32_t missed = (uint32_t)((acc[v] >= 0) ? CERTAIN - wanted : wanted);
        cost += found.bits;
        cost += ((uint64_t)size_of(acc[v]) * missed + CERTAIN / 2U) >> CHANCE_BITS;
        spread(head, v, found.chance - wanted, gradient);
    }
    return (uint32_t)((cost + (values >> 1)) / values);
}

uint32_t fg_loss_squared_error_of_chances(const fg_head *head, const int8_t *target, int32_t *acc,
                                          int16_t *gradient) {
    const uint32_t values = fg_loss_outputs(head);
    uint64_t squares = 0;
    fg_loss_fine(head, acc, gradient);

    for (uint32_t v = 0; v < values; v++) {
        const int32_t chance = judge(acc[v]).chance;
        const int32_t error = chance - chance_of(target[v]);
        const int32_t steepness = (chance * (CERTAIN - chance)) >> CHANCE_BITS; /* <= 2^13 */
        squares += (uint64_t)((int64_t)error * error);
        spread(head, v, (error * steepness + (1 << 12)) >> 13, gradient);
    }
    return fg_loss_mean_square(squares, values);
}
