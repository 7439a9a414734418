/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_fixed_point.h"

void fg_quantize(const fg_quantize_params *params, const int8_t *input, int8_t *output) {
    for (int32_t index = 0; index < params->count; ++index) {
        const int32_t centred = input[index] - params->input_zero;
        const int32_t scaled = fg_scale_twice(centred, params->scale.value, params->scale.shift);
        output[index] = fg_to_output(scaled, &params->output);
    }
}
