/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_dot.h"
#include "fg_fixed_point.h"

static void connect_row(const fg_fully_connected_params *params, const int8_t *weights,
                        const int32_t *bias, const int8_t *input, int8_t *output) {
    const int32_t inputs = params->inputs;
    for (int32_t first = 0; first < params->outputs; first += FG_DOT_ROWS) {
        const int32_t count = fg_min(params->outputs - first, FG_DOT_ROWS);
        uint32_t sums[FG_DOT_ROWS];
        fg_dot_rows(input, weights + first * inputs, inputs, bias + first, count, sums);
        for (int32_t index = 0; index < count; ++index) {
            const fg_wide_scale *scale = params->scale + (first + index) * params->scale_step;
            const int32_t scaled = fg_scale_once((int32_t)sums[index], scale);
            *output++ = fg_to_output(scaled, &params->output);
        }
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
