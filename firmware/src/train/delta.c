/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fleetgrad/fg_train.h"

static inline int32_t value(const fg_segment *segment, const uint8_t *params, size_t index) {
    if (segment->kind == FG_SEGMENT_BIAS) {
        int32_t bias = 0;
        memcpy(&bias, params + segment->offset + index * sizeof bias, sizeof bias);
        return bias;
    }
    int16_t master = 0;
    memcpy(&master, params + segment->offset + index * sizeof master, sizeof master);
    return master;
}

/* |a - b|, which fits 32 bits where the difference does not. */
static inline uint32_t distance(int32_t a, int32_t b) {
    return (a > b) ? (uint32_t)a - (uint32_t)b : (uint32_t)b - (uint32_t)a;
}

uint32_t fg_delta_peak(const fg_segment *segment, const uint8_t *params, const uint8_t *base) {
    uint32_t peak = 0;
    for (size_t i = 0; i < segment->count; i++) {
        const uint32_t size = distance(value(segment, params, i), value(segment, base, i));
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

static inline int8_t delta_of(int32_t now, int32_t then, uint8_t exponent) {
    const uint32_t size = distance(now, then);
    const uint32_t half = (exponent == 0U) ? 0U : (size >> (exponent - 1U)) & 1U;
    const uint32_t rounded = (size >> exponent) + half;
    const int32_t kept = (rounded > 127U) ? 127 : (int32_t)rounded;
    return (int8_t)((now < then) ? -kept : kept);
}

int8_t fg_delta_value(const fg_segment *segment, const uint8_t *params, const uint8_t *base,
                      uint32_t index, uint8_t exponent) {
    return delta_of(value(segment, params, index), value(segment, base, index), exponent);
}

void fg_delta_values(const fg_segment *segment, const uint8_t *params, const uint8_t *base,
                     uint8_t exponent, int8_t *restrict deltas) {
    for (size_t i = 0; i < segment->count; i++) {
        deltas[i] = delta_of(value(segment, params, i), value(segment, base, i), exponent);
    }
}

uint32_t fg_saturated(const fg_segment *segment, const uint8_t *params, const uint8_t *base) {
    const int32_t limit = segment->kind == FG_SEGMENT_BIAS ? FG_BIAS_LIMIT : FG_MASTER_LIMIT;
    uint32_t saturated = 0;
    for (size_t i = 0; i < segment->count; i++) {
        const int32_t now = value(segment, params, i);
        const int32_t then = value(segment, base, i);
        const bool full = now >= limit || now <= -limit;
        saturated += (full && then < limit && then > -limit) ? 1U : 0U;
    }
    return saturated;
}
