/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fleetgrad/fg_train.h"

static int32_t value(const fg_segment *segment, const uint8_t *params, uint32_t index) {
    if (segment->kind == FG_SEGMENT_BIAS) {
        int32_t bias = 0;
        memcpy(&bias, params + segment->offset + 4U * index, sizeof bias);
        return bias;
    }
    int16_t master = 0;
    memcpy(&master, params + segment->offset + 2U * index, sizeof master);
    return master;
}

static int64_t difference(const fg_segment *segment, const uint8_t *params, const uint8_t *base,
                          uint32_t index) {
    return (int64_t)value(segment, params, index) - value(segment, base, index);
}

static uint32_t magnitude(int64_t value) {
    return (uint32_t)((value < 0) ? -value : value);
}

uint32_t fg_delta_peak(const fg_segment *segment, const uint8_t *params, const uint8_t *base) {
    uint32_t peak = 0;
    for (uint32_t i = 0; i < segment->count; i++) {
        const uint32_t size = magnitude(difference(segment, params, base, i));
        peak = (size > peak) ? size : peak;
    }
    return peak;
}

uint8_t fg_delta_exponent(uint32_t peak) {
    uint8_t exponent = 0;
    while ((peak >> exponent) > 127U) {
        exponent++;
    }
    return exponent;
}

int8_t fg_delta_value(const fg_segment *segment, const uint8_t *params, const uint8_t *base,
                      uint32_t index, uint8_t exponent) {
    const int64_t delta = difference(segment, params, base, index);
    const uint32_t half = (exponent == 0U) ? 0U : UINT32_C(1) << (exponent - 1U);
    const uint64_t rounded = ((uint64_t)magnitude(delta) + half) >> exponent;
    const int32_t size = (rounded > 127U) ? 127 : (int32_t)rounded;
    return (int8_t)((delta < 0) ? -size : size);
}

uint32_t fg_saturated(const fg_segment *segment, const uint8_t *params, const uint8_t *base) {
    const uint32_t limit = segment->kind == FG_SEGMENT_BIAS ? FG_BIAS_LIMIT : FG_MASTER_LIMIT;
    uint32_t saturated = 0;
    for (uint32_t i = 0; i < segment->count; i++) {
        const bool now = magnitude(value(segment, params, i)) >= limit;
        saturated += (now && magnitude(value(segment, base, i)) < limit) ? 1U : 0U;
    }
    return saturated;
}
