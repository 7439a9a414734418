/* SPDX-License-Identifier: Apache-2.0 */
#include "error.h"

#define FRACTION_BITS 15

/* value / 2^shift to nearest, ties upwards; shift >= 0. Values are below 2^23. */
static inline int32_t shifted(int32_t value, int32_t shift) {
    if (shift > 24) {
        return 0;
    }
    const int32_t half = (int32_t)((UINT32_C(1) << (uint32_t)shift) >> 1);
    return (value + half) >> shift;
}

void fg_merge_errors(uint32_t count, int32_t ratio, int32_t ratio_exponent, fg_error *into,
                     int8_t *errors, const fg_error *from, const int8_t *others) {
    if (from->bits == 0) {
        return;
    }
    /* Both with FRACTION_BITS more bits; the one with the smaller exponent moves to the other's. */
    const int32_t other = from->exponent + ratio_exponent;
    const int32_t mine = (into->bits == 0) ? other : into->exponent;
    const int32_t shift_mine = (other > mine) ? other - mine : 0;
    const int32_t shift_other = (mine > other) ? mine - other : 0;
    uint32_t sizes = 0;
    for (uint32_t i = 0; i < count; i++) {
        const int32_t sum = shifted(errors[i] * (INT32_C(1) << FRACTION_BITS), shift_mine) +
                            shifted(others[i] * ratio, shift_other);
        sizes |= fg_magnitude(sum);
    }
    const int16_t bits = fg_bit_length(sizes);
    const int32_t shift = (bits > 7) ? bits - 7 : 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        const int32_t sum = shifted(errors[i] * (INT32_C(1) << FRACTION_BITS), shift_mine) +
                            shifted(others[i] * ratio, shift_other);
        errors[i] = fg_error_round(sum, shift);
        kept |= fg_magnitude(errors[i]);
    }
    into->exponent = (int16_t)(((mine > other) ? mine : other) - FRACTION_BITS + shift);
    into->bits = fg_bit_length(kept);
}
