/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_fixed_point.h"

void fg_quantize(const fg_quantize_params *params, const uint8_t *input, uint8_t *output) {
    for (int32_t index = 0; index < params->count; ++index) {
        const int32_t value = (int8_t)(input[index] ^ params->input_flip);
        const int32_t scaled =
            fg_scale_twice(value - params->input_zero, params->scale.value, params->scale.shift);
        const int8_t result = fg_to_output(scaled, &params->output);
        output[index] = (uint8_t)((uint8_t)result ^ params->output_flip);
    }
}
