/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fg_dot.h"
#include "fg_fixed_point.h"

/* FG_DOT_ROWS or fewer filters of the latest input, on the state's scale. */
static int32_t latest(const fg_svdf_params *params, const int8_t *feature, const int32_t *bias,
                      const int8_t *input, int32_t filter, int32_t values[FG_DOT_ROWS]) {
    const int32_t count = fg_min(params->units * params->rank - filter, FG_DOT_ROWS);
    const int32_t inputs = params->inputs;
    uint32_t sums[FG_DOT_ROWS];
    fg_dot_rows(input, feature + filter * inputs, inputs, bias + filter, count, sums);
    for (int32_t index = 0; index < count; ++index) {
        const fg_tensor_scale *scale = &params->feature_scale;
        values[index] =
            params->state_zero + fg_scale_twice((int32_t)sums[index], scale->value, scale->shift);
    }
    return count;
}

static int8_t to_output(const fg_svdf_params *params, uint32_t sum) {
    const int32_t scaled = fg_scale_twice((int32_t)sum, params->scale.value, params->scale.shift);
    return fg_to_output(scaled, &params->output);
}

void fg_svdf8(const fg_svdf_params *params, const int8_t *feature, const int32_t *feature_bias,
              const int8_t *time, const int32_t *bias, const int8_t *input, int8_t *state,
              int8_t *output) {
    const int32_t memory = params->memory;
    const int32_t filters = params->units * params->rank;
    memmove(state, state + 1, (size_t)(filters * memory - 1));
    for (int32_t filter = 0; filter < filters; filter += FG_DOT_ROWS) {
        int32_t values[FG_DOT_ROWS];
        const int32_t count = latest(params, feature, feature_bias, input, filter, values);
        for (int32_t index = 0; index < count; ++index) {
            state[(filter + index + 1) * memory - 1] =
                (int8_t)fg_clamp(values[index], INT8_MIN, INT8_MAX);
        }
    }
    const int32_t span = params->rank * memory;
    for (int32_t unit = 0; unit < params->units; ++unit) {
        uint32_t sum[FG_DOT_ROWS];
        fg_dot_rows(state + unit * span, time + unit * span, span, bias + unit, 1, sum);
        output[unit] = to_output(params, sum[0]);
    }
}

void fg_svdf16(const fg_svdf_params *params, const int8_t *feature, const int32_t *feature_bias,
               const int16_t *time, const int32_t *bias, const int8_t *input, int16_t *state,
               int8_t *output) {
    const int32_t memory = params->memory;
    const int32_t filters = params->units * params->rank;
    memmove(state, state + 1, (size_t)(filters * memory - 1) * sizeof *state);
    for (int32_t filter = 0; filter < filters; filter += FG_DOT_ROWS) {
        int32_t values[FG_DOT_ROWS];
        const int32_t count = latest(params, feature, feature_bias, input, filter, values);
        for (int32_t index = 0; index < count; ++index) {
            state[(filter + index + 1) * memory - 1] =
                (int16_t)fg_clamp(values[index], INT16_MIN, INT16_MAX);
        }
    }
    const int32_t span = params->rank * memory;
    for (int32_t unit = 0; unit < params->units; ++unit) {
        uint32_t sum = (uint32_t)bias[unit];
        for (int32_t index = span; index > 0; --index) {
            sum += (uint32_t)(*time++ * *state++);
        }
        output[unit] = to_output(params, sum);
    }
}
