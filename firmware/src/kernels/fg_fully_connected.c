/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_dot.h"
#include "fg_fixed_point.h"

static int8_t finish(const fg_fully_connected_params *params, int32_t index, uint32_t sum) {
    const fg_wide_scale *scale = params->scale + index * params->scale_step;
    return fg_to_output(fg_scale_once((int32_t)sum, scale), &params->output);
}

static void connect_row(const fg_fully_connected_params *params, const int8_t *weights,
                        const int32_t *bias, const int8_t *input, int8_t *output) {
    const int32_t inputs = params->inputs;
    int32_t index = 0;
    for (; index + FG_DOT_ROWS <= params->outputs; index += FG_DOT_ROWS) {
        uint32_t sums[FG_DOT_ROWS];
        for (int32_t row = 0; row < FG_DOT_ROWS; ++row) {
            sums[row] = (uint32_t)bias[index + row];
        }
        fg_dot_rows(input, weights + index * inputs, inputs, sums);
        for (int32_t row = 0; row < FG_DOT_ROWS; ++row) {
            output[index + row] = finish(params, index + row, sums[row]);
        }
    }
    for (; index < params->outputs; ++index) {
        const uint32_t sum =
            (uint32_t)bias[index] + fg_dot(input, weights + index * inputs, inputs);
        output[index] = finish(params, index, sum);
    }
}

void fg_fully_connected(const fg_fully_connected_params *params, const int8_t *weights,
                        const int32_t *bias, const int8_t *input, int8_t *output) {
    for (int32_t row = 0; row < params->rows; ++row) {
        connect_row(params, weights, bias, input, output);
        input += params->inputs;
        output += params->outputs;
    }
}
