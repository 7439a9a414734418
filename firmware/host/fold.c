// SPDX-License-Identifier: Apache-2.0
// Adds updates to sums on the host, where there is a compiler; fleetgrad.federation.partial does
// the same in NumPy. Not part of any firmware.

#include <stdint.h>

// Products that fit 32 bits need half the work on machines without wide vectors.
#define FG_NARROW_SCALE (INT32_C(1) << 24)

void fg_fold(int64_t *restrict sums, const int8_t *restrict deltas, int64_t weight,
             const uint8_t *restrict exponents, const uint32_t *restrict counts, uint32_t segments);

static void fold_narrow(int64_t *restrict sums, const int8_t *restrict deltas, uint32_t count,
                        int32_t scale) {
    for (uint32_t i = 0; i < count; ++i) {
        sums[i] += deltas[i] * scale;
    }
}

static void fold_wide(int64_t *restrict sums, const int8_t *restrict deltas, uint32_t count,
                      int64_t scale) {
    for (uint32_t i = 0; i < count; ++i) {
        sums[i] += deltas[i] * scale;
    }
}

/// Adds deltas * weight * 2^exponent, segment by segment.
/// The caller has made sure that no sum can leave 64 bits.
void fg_fold(int64_t *restrict sums, const int8_t *restrict deltas, int64_t weight,
             const uint8_t *restrict exponents, const uint32_t *restrict counts,
             uint32_t segments) {
    for (uint32_t segment = 0; segment < segments; ++segment) {
        const int64_t scale = weight << exponents[segment];
        if (scale < FG_NARROW_SCALE) {
            fold_narrow(sums, deltas, counts[segment], (int32_t)scale);
        } else {
            fold_wide(sums, deltas, counts[segment], scale);
        }
        sums += counts[segment];
        deltas += counts[segment];
    }
}
