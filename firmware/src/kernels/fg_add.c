/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_fixed_point.h"

#define UNIT (1 << 20) /* fractional steps of an input while it is scaled */

static int32_t to_sum(const fg_add_params *params, int32_t which, int32_t value) {
    const fg_tensor_scale *scale = &params->input_scale[which];
    return fg_scale_twice((value - params->input_zero[which]) * UNIT, scale->value, scale->shift);
}

void fg_add(const fg_add_params *params, const int8_t *first, const int8_t *second,
            int8_t *output) {
    for (int32_t index = 0; index < params->count; ++index) {
        const int32_t sum = to_sum(params, 0, first[index]) + to_sum(params, 1, second[index]);
        const int32_t scaled = fg_scale_twice(sum, params->scale.value, params->scale.shift);
        output[index] = fg_to_output(scaled, &params->output);
    }
}
