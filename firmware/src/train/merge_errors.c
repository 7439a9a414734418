/* SPDX-License-Identifier: Apache-2.0 */
#include "merge_errors.h"

#include <stddef.h>

#include "../kernels/fg_target.h"

#if !FG_MVE

/* value / 2^shift to nearest, ties upwards; shift >= 0. Values are below 2^23. */
static inline int32_t shifted(int32_t value, int32_t shift) {
    if (shift > 24) {
        return 0;
    }
    const int32_t half = (int32_t)((UINT32_C(1) << (uint32_t)shift) >> 1);
    return (value + half) >> shift;
}

static inline int32_t sum_of(const fg_merging *of, int32_t error, int32_t other) {
    return shifted(error * (INT32_C(1) << FG_MERGE_BITS), of->shift_errors) +
           shifted(other * of->ratio, of->shift_others);
}

void fg_merge_pass(const fg_merging *of, uint32_t count, const int8_t *errors, const int8_t *others,
                   int32_t shift, int8_t *made, fg_peaks *peaks) {
    const fg_merging merging = *of;
    uint32_t sums = 0;
    uint32_t kept = 0;
    if (made == NULL) {
        for (uint32_t i = 0; i < count; i++) {
            sums |= fg_magnitude(sum_of(&merging, errors[i], others[i]));
        }
    } else {
        for (uint32_t i = 0; i < count; i++) {
            const int32_t sum = sum_of(&merging, errors[i], others[i]);
            const int8_t error = fg_error_round(sum, shift);
            made[i] = error;
            sums |= fg_magnitude(sum);
            kept |= fg_magnitude(error);
        }
    }
    peaks->sums |= sums;
    peaks->kept |= kept;
}

#endif

void fg_merge_errors(uint32_t count, int32_t ratio, int32_t ratio_exponent, fg_error *into,
                     int8_t *errors, const fg_error *from, const int8_t *others) {
    if (from->bits == 0) {
        return;
    }
    /* Both with FG_MERGE_BITS more bits; the one with the smaller exponent moves to the other's. */
    const int32_t other = from->exponent + ratio_exponent;
    const int32_t mine = (into->bits == 0) ? other : into->exponent;
    const fg_merging merging = {.ratio = ratio,
                                .shift_errors = (other > mine) ? other - mine : 0,
                                .shift_others = (mine > other) ? mine - other : 0};
    fg_peaks peaks = {0U, 0U};
    fg_merge_pass(&merging, count, errors, others, 0, NULL, &peaks);
    const int16_t bits = fg_bit_length(peaks.sums);
    const int32_t shift = (bits > 7) ? bits - 7 : 0;
    fg_merge_pass(&merging, count, errors, others, shift, errors, &peaks);
    into->exponent = (int16_t)(((mine > other) ? mine : other) - FG_MERGE_BITS + shift);
    into->bits = fg_bit_length(peaks.kept);
}
