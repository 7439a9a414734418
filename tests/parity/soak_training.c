/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of heads of random shapes, constants and parameters, in memory of exactly the documented
 * sizes: for the sanitizers, which end the process at the first fault. */
#include <stdio.h>
#include <stdlib.h>

#include "fleetgrad/fg_rng.h"
#include "fleetgrad/fg_train.h"

static uint32_t counter;

static uint32_t draw(uint32_t below) {
    return fg_mix32(++counter) % below;
}

static void *filled(size_t bytes) {
    uint8_t *memory = malloc(bytes);
    if (memory == NULL) {
        abort();
    }
    for (size_t i = 0; i < bytes; i++) {
        memory[i] = (uint8_t)draw(256);
    }
    return memory;
}

static fg_scale *scales(uint32_t count) {
    fg_scale *made = malloc(count * sizeof *made);
    if (made == NULL) {
        abort();
    }
    for (uint32_t i = 0; i < count; i++) {
        made[i].mantissa = (int32_t)((1U << 29) + draw(1U << 29));
        made[i].exponent = (int32_t)draw(61) - 30;
    }
    return made;
}

static uint32_t one_head(void) {
    const uint32_t samples = 1U + draw(4);
    fg_head head = {
        .inputs = 1U + draw(40),
        .outputs = 2U + draw(9),
        .positions = (draw(2) == 0U) ? 1U : 1U + draw(5),
        .input_zero_point = (int32_t)draw(256) - 128,
        .relu = draw(2) == 0U,
        .scale_stride = draw(2),
    };
    head.pooled = head.positions > 1U && draw(2) == 0U;
    const uint32_t entries = (head.scale_stride == 0U) ? 1U : head.outputs;
    fg_scale *fine = scales(entries);
    fg_scale *rate = scales(entries);
    fg_scale *bias_rate = scales(entries);
    head.fine = fine;
    head.rate = rate;
    head.bias_rate = bias_rate;

    const size_t in = (size_t)head.positions * head.inputs;
    const size_t out = (size_t)head.positions * head.outputs;
    const uint32_t weights = head.inputs * head.outputs;
    int8_t *x = filled(in);
    int8_t *target = filled(out);
    int16_t *centred = filled(in * 2U);
    int16_t *gradient = filled(out * 2U);
    int32_t *acc = filled(out * 4U);
    int16_t *centred_rows = filled(samples * in * 2U);
    int16_t *gradient_rows = filled(samples * out * 2U);
    int32_t *coefficients = filled((size_t)samples * head.positions * 4U);
    int32_t *bias = filled((size_t)head.outputs * 4U);
    int16_t *masters = filled((size_t)weights * 2U);
    int8_t *shadow = filled(weights);
    uint32_t sum = 0;

    for (uint32_t o = 0; o < head.outputs; o++) {
        bias[o] /= 2;
    }
    fg_refresh(masters, shadow, weights);
    const bool classes = head.positions == 1U || head.pooled;
    for (uint32_t row = 0; row < samples; row++) {
        fg_head_forward(&head, x, shadow, bias, centred, acc);
        if (classes && draw(2) == 0U) {
            sum += fg_loss_cross_entropy(&head, draw(head.outputs), acc, gradient);
        } else {
            sum += fg_loss_squared_error(&head, target, (int32_t)draw(256) - 128, acc, gradient);
        }
        fg_head_keep(&head, row, centred, gradient, centred_rows, gradient_rows);
    }
    const fg_step step = {.lr_mantissa = 16384 + (int32_t)draw(16384),
                          .lr_exponent = (int32_t)draw(81) - 40,
                          .key = draw(UINT32_MAX)};
    if (fg_head_update(&head, samples, &step, centred_rows, gradient_rows, coefficients, bias,
                       masters, shadow) != FG_OK) {
        abort();
    }
    for (uint32_t i = 0; i < weights; i++) {
        sum += (uint32_t)masters[i] + (uint32_t)shadow[i];
    }
    void *const all[] = {fine, rate, bias_rate, x,       target,       centred,       gradient,
                         acc,  bias, shadow,    masters, centred_rows, gradient_rows, coefficients};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        free(all[i]);
    }
    return sum;
}

int main(void) {
    uint32_t sum = 0;
    for (int i = 0; i < 4000; i++) {
        sum += one_head();
    }
    printf("%08x\n", (unsigned)sum);
    return 0;
}
