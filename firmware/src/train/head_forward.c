/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fleetgrad/fg_train.h"

#include "../kernels/dsp/fg_dsp.h"
#include "train_math.h"

/* Two rows of weights at a time share the loads of the inputs. */
#if FG_DSP

static FG_NOINLINE void two_outputs(const int16_t *centred, const int8_t *upper,
                                    const int8_t *lower, uint32_t inputs, int32_t sums[2]) {
    uint32_t first = (uint32_t)sums[0];
    uint32_t second = (uint32_t)sums[1];
    for (; inputs >= 4U; inputs -= 4U) {
        const uint32_t x01 = fg_load_pair(centred);
        const uint32_t x23 = fg_load_pair(centred + 2);
        const uint32_t even = fg_lower_halves(x01, x23);
        const uint32_t odd = fg_upper_halves(x01, x23);
        const uint32_t top = fg_load_quad(upper);
        first = fg_dot_pair(even, fg_even_bytes(top), first);
        first = fg_dot_pair(odd, fg_odd_bytes(top), first);
        const uint32_t bottom = fg_load_quad(lower);
        second = fg_dot_pair(even, fg_even_bytes(bottom), second);
        second = fg_dot_pair(odd, fg_odd_bytes(bottom), second);
        centred += 4;
        upper += 4;
        lower += 4;
    }
    for (; inputs > 0U; inputs--) {
        const int32_t x0 = *centred++;
        first += (uint32_t)(*upper++ * x0);
        second += (uint32_t)(*lower++ * x0);
    }
    sums[0] = (int32_t)first;
    sums[1] = (int32_t)second;
}

#elif FG_WIDE

static FG_INLINE void two_outputs(const int16_t *centred, const int8_t *upper, const int8_t *lower,
                                  uint32_t inputs, int32_t sums[2]) {
    int32_t first = sums[0];
    int32_t second = sums[1];
    for (uint32_t i = 0U; i < inputs; i++) {
        first += (int16_t)upper[i] * centred[i];
        second += (int16_t)lower[i] * centred[i];
    }
    sums[0] = first;
    sums[1] = second;
}

#else

static FG_NOINLINE void two_outputs(const int16_t *centred, const int8_t *upper,
                                    const int8_t *lower, uint32_t inputs, int32_t sums[2]) {
    int32_t first = sums[0];
    int32_t second = sums[1];
    for (; inputs >= 4U; inputs -= 4U) {
        const int32_t x0 = *centred++;
        const int32_t x1 = *centred++;
        const int32_t x2 = *centred++;
        const int32_t x3 = *centred++;
        first += *upper++ * x0;
        second += *lower++ * x0;
        first += *upper++ * x1;
        second += *lower++ * x1;
        first += *upper++ * x2;
        second += *lower++ * x2;
        first += *upper++ * x3;
        second += *lower++ * x3;
    }
    for (; inputs > 0U; inputs--) {
        const int32_t x0 = *centred++;
        first += *upper++ * x0;
        second += *lower++ * x0;
    }
    sums[0] = first;
    sums[1] = second;
}

#endif

void fg_head_forward(const fg_head *head, const int8_t *x, const int8_t *weights,
                     const int32_t *bias, int16_t *centred, int32_t *acc) {
    const uint32_t inputs = head->inputs;
    const uint32_t outputs = head->outputs;
    const int32_t zero_point = head->input_zero_point;

    for (uint32_t p = 0; p < head->positions; p++) {
        for (uint32_t i = 0; i < inputs; i++) {
            centred[i] = (int16_t)(x[i] - zero_point);
        }
        const int8_t *row = weights;
        for (uint32_t o = 0; o < outputs; o += 2U) {
            const uint32_t next = (o + 1U < outputs) ? 1U : 0U; /* none: the last row twice */
            int32_t sums[2] = {bias[o], bias[o + next]};
            two_outputs(centred, row, row + (next * inputs), inputs, sums);
            acc[o] = sums[0];
            acc[o + next] = sums[next];
            row += 2U * inputs;
        }
        x += inputs;
        centred += inputs;
        acc += outputs;
    }
}

void fg_head_keep(const fg_head *head, uint32_t row, const int16_t *centred,
                  const int16_t *gradient, int16_t *centred_rows, int16_t *gradient_rows) {
    const uint32_t inputs = head->positions * head->inputs;
    const uint32_t outputs = head->positions * head->outputs;
    memcpy(centred_rows + (row * inputs), centred, inputs * sizeof *centred);
    memcpy(gradient_rows + (row * outputs), gradient, outputs * sizeof *gradient);
}
