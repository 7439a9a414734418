/* SPDX-License-Identifier: Apache-2.0 */
#include "fleetgrad/fg_ranges.h"

#include <stddef.h>

void fg_grow_bias(const int32_t *bias, const int32_t *fold, uint32_t channels, int32_t by,
                  int32_t *made) {
    for (uint32_t c = 0; c < channels; c++) {
        /* The last bit that goes decides; adding a half first could leave 32 bits. */
        const int32_t half = (by > 0) ? ((bias[c] >> (by - 1)) & 1) : 0;
        const uint32_t halved = (uint32_t)((bias[c] >> by) + half);
        made[c] = (int32_t)(halved + ((fold != NULL) ? (uint32_t)fold[c] : 0U));
    }
}

const int8_t *fg_grow_shifts(const int8_t *shifts, uint32_t count, int32_t by, int8_t *made) {
    for (uint32_t c = 0; c < count; c++) {
        made[c] = (int8_t)(shifts[c] + by);
    }
    return made;
}

const fg_wide_scale *fg_grow_scales(const fg_wide_scale *scales, uint32_t count, int32_t by,
                                    fg_wide_scale *made) {
    for (uint32_t c = 0; c < count; c++) {
        made[c] = scales[c];
        made[c].shift -= by;
    }
    return made;
}

uint32_t fg_count_clipped(const int8_t *values, uint32_t count, bool low, bool high) {
    /* An end that does not count is compared with a value that does. */
    const int8_t least = low ? INT8_MIN : INT8_MAX;
    const int8_t most = high ? INT8_MAX : INT8_MIN;
    uint32_t clipped = 0;
    if (!low && !high) {
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        clipped += (values[i] == least || values[i] == most) ? 1U : 0U;
    }
    return clipped;
}
