/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "passes.h"

/* Copies of a row or column lie side by side: the first one behind those of `position`. */
static int32_t behind(const int16_t *sources, int32_t from, int32_t count, int32_t position) {
    while (from < count && sources[from] <= position) {
        from++;
    }
    return from;
}

void fg_resize_nearest_error(const fg_resize_params *params, uint32_t rows, const fg_error *from,
                             const int8_t *errors, int32_t *sums, fg_error *to, int8_t *made) {
    const uint32_t channels = (uint32_t)params->channels;
    const uint32_t width = (uint32_t)params->in_w;
    fg_passes passes = fg_passes_of(from, to, NULL, made, rows * width * channels, 0);
    while (fg_passes_next(&passes)) {
        int32_t top = 0;
        for (int32_t y = 0; y < (int32_t)rows; y++) {
            const int32_t bottom = behind(params->rows, top, params->out_h, y);
            int32_t left = 0;
            for (int32_t x = 0; x < params->in_w; x++) {
                const int32_t right = behind(params->columns, left, params->out_w, x);
                memset(sums, 0, channels * sizeof *sums);
                for (int32_t row = top; row < bottom; row++) {
                    const int8_t *error = errors + (row * params->out_w + left) * params->channels;
                    for (int32_t column = left; column < right; column++) {
                        for (uint32_t channel = 0; channel < channels; channel++) {
                            sums[channel] += *error++;
                        }
                    }
                }
                fg_passes_store(&passes, sums, channels);
                left = right;
            }
            top = bottom;
        }
    }
}
