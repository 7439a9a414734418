/* SPDX-License-Identifier: Apache-2.0 */
#include "passes.h"

#define SLOPE_EXPONENT (-15)

void fg_lookup_error(const int16_t *slope, const int8_t *output, uint32_t count,
                     const fg_error *from, const int8_t *errors, const fg_mask *mask, fg_error *to,
                     int8_t *made) {
    fg_passes passes = fg_passes_of(from, to, mask, made, count, SLOPE_EXPONENT);
    while (fg_passes_next(&passes)) {
        fg_line line = {.used = 0U};
        for (uint32_t i = 0; i < count; i++) {
            fg_line_push(&line, &passes, errors[i] * slope[output[i] + 128]);
        }
        fg_line_flush(&line, &passes);
    }
}
