/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_fixed_point.h"

void fg_mean(const fg_mean_params *params, const int8_t *input, int8_t *output) {
    const int32_t second_step = params->inner;
    const int32_t middle_step = params->second * second_step;
    const int32_t first_step = params->middle * middle_step;
    const int32_t outer_step = params->first * first_step;
    for (int32_t outer = 0; outer < params->outer; ++outer, input += outer_step) {
        for (int32_t middle = 0; middle < params->middle; ++middle) {
            for (int32_t inner = 0; inner < params->inner; ++inner) {
                const int8_t *block = input + middle * middle_step + inner;
                int32_t sum = params->bias;
                for (int32_t first = 0; first < params->first; ++first, block += first_step) {
                    for (int32_t second = 0; second < params->second; ++second) {
                        sum += block[second * second_step];
                    }
                }
                const int32_t scaled =
                    fg_scale_twice(sum, params->scale.value, params->scale.shift);
                *output++ = fg_to_output(scaled, &params->output);
            }
        }
    }
}
