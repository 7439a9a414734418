/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_dot.h"
#include "fg_fixed_point.h"
#include "fg_target.h"

/* From the sums of `count` outputs to the outputs; `scale` is that of the first one. */
static FG_NOINLINE void write_outputs(const fg_fully_connected_params *params,
                                      const fg_wide_scale *scale, const uint32_t *sums,
                                      int32_t count, int8_t *output) {
    const fg_output limits = params->output; /* which `output` might alias, for all C knows */
    const fg_wide_scale shared = *scale;
    const int8_t *const end = output + count;
    if (params->scale_step == 0 && shared.shift > 32) {
        while (output != end) {
            *output++ = fg_to_output(fg_scale_once_far((int32_t)*sums++, &shared), &limits);
        }
    } else {
        while (output != end) {
            *output++ = fg_to_output(fg_scale_once((int32_t)*sums++, scale), &limits);
            scale += params->scale_step;
        }
    }
}

static void connect_row(const fg_fully_connected_params *params, const int8_t *weights,
                        const int32_t *bias, const int8_t *input, int8_t *output) {
    const int32_t inputs = params->inputs;
    uint32_t sums[FG_DOT_ROWS];
    for (int32_t first = 0; first < params->outputs; first += FG_DOT_ROWS) {
        const int32_t count = fg_min(params->outputs - first, FG_DOT_ROWS);
        fg_dot_rows(input, weights, inputs, bias + first, count, sums);
        write_outputs(params, params->scale + first * params->scale_step, sums, count,
                      output + first);
        weights += count * inputs;
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
