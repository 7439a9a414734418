/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that only move values. */
#include <string.h>

#include "fleetgrad/fg_kernels.h"

static int8_t *gather(const int8_t *input, int32_t count, int32_t step, int8_t *output) {
    for (; count > 0; --count) {
        *output++ = *input;
        input += step;
    }
    return output;
}

void fg_transpose(const fg_transpose_params *params, const int8_t *input, int8_t *output) {
    const int32_t *size = params->size;
    const int32_t *step = params->step;
    for (int32_t i = 0; i < size[0]; ++i) {
        for (int32_t j = 0; j < size[1]; ++j) {
            for (int32_t k = 0; k < size[2]; ++k) {
                const int8_t *first = input + i * step[0] + j * step[1] + k * step[2];
                output = gather(first, size[3], step[3], output);
            }
        }
    }
}

void fg_copy_columns(const int8_t *input, int32_t rows, int32_t width, int8_t *output,
                     int32_t pitch) {
    for (; rows > 0; --rows) {
        memcpy(output, input, (size_t)width);
        input += width;
        output += pitch;
    }
}

void fg_resize_nearest(const fg_resize_params *params, const int8_t *input, int8_t *output) {
    const int32_t channels = params->channels;
    for (int32_t row = 0; row < params->out_h; ++row) {
        const int8_t *source = input + params->rows[row] * params->in_w * channels;
        for (int32_t column = 0; column < params->out_w; ++column) {
            memcpy(output, source + params->columns[column] * channels, (size_t)channels);
            output += channels;
        }
    }
}
