/* SPDX-License-Identifier: Apache-2.0 */
#include "fleetgrad/fg_train.h"

/* Two outputs at a time share the loads of the inputs. */
static void two_outputs(const int16_t *centred, const int8_t *weights, const int32_t *bias,
                        uint32_t inputs, int32_t *acc) {
    const int8_t *upper = weights;
    const int8_t *lower = weights + inputs;
    const int16_t *const end = centred + (inputs & ~1U);
    int32_t first = bias[0];
    int32_t second = bias[1];
    while (centred != end) {
        const int32_t x0 = centred[0];
        const int32_t x1 = centred[1];
        first += upper[0] * x0;
        second += lower[0] * x0;
        first += upper[1] * x1;
        second += lower[1] * x1;
        centred += 2;
        upper += 2;
        lower += 2;
    }
    if ((inputs & 1U) != 0U) {
        first += *upper * *centred;
        second += *lower * *centred;
    }
    acc[0] = first;
    acc[1] = second;
}

static int32_t one_output(const int16_t *centred, const int8_t *weights, int32_t bias,
                          uint32_t inputs) {
    for (uint32_t i = 0; i < inputs; i++) {
        bias += weights[i] * centred[i];
    }
    return bias;
}

void fg_head_forward(const fg_head *head, const int8_t *x, const int8_t *weights,
                     const int32_t *bias, int16_t *centred, int32_t *acc) {
    const uint32_t inputs = head->inputs;
    const uint32_t outputs = head->outputs;
    const uint32_t even = outputs & ~1U;
    const int32_t zero_point = head->input_zero_point;

    for (uint32_t p = 0; p < head->positions; p++) {
        for (uint32_t i = 0; i < inputs; i++) {
            centred[i] = (int16_t)(x[i] - zero_point);
        }
        for (uint32_t o = 0; o < even; o += 2U) {
            two_outputs(centred, weights + (o * inputs), bias + o, inputs, acc + o);
        }
        if (even != outputs) {
            acc[even] = one_output(centred, weights + (even * inputs), bias[even], inputs);
        }
        x += inputs;
        centred += inputs;
        acc += outputs;
    }
}
