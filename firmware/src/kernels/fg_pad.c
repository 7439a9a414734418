/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fleetgrad/fg_kernels.h"

void fg_pad(const fg_pad_params *params, const int8_t *input, int8_t *output) {
    const int32_t *before = params->before;
    const int32_t *size = params->output;
    const size_t run = (size_t)params->input[2];
    memset(output, params->value, (size_t)(size[0] * size[1] * size[2]));
    for (int32_t slice = 0; slice < params->input[0]; ++slice) {
        for (int32_t row = 0; row < params->input[1]; ++row) {
            const int32_t at = (slice + before[0]) * size[1] + row + before[1];
            memcpy(output + at * size[2] + before[2], input, run);
            input += run;
        }
    }
}
