/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_ERROR_H
#define FG_TRAIN_ERROR_H

/* From 32-bit sums to int8 errors; private to firmware/src/train. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fleetgrad/fg_backward.h"

#include "train_math.h"

/* All magnitudes seen, ORed: their bit length is that of the largest. */
typedef struct fg_peaks {
    uint32_t sums; /* before the shift */
    uint32_t kept; /* after it */
} fg_peaks;

static inline uint32_t fg_magnitude(int32_t value) {
    return (value < 0) ? 0U - (uint32_t)value : (uint32_t)value;
}

static inline int16_t fg_bit_length(uint32_t value) {
    int16_t bits = 0;
    for (; value != 0U; value >>= 1) {
        bits++;
    }
    return bits;
}

static inline bool fg_mask_open(const fg_mask *mask, uint32_t index) {
    if (mask->values != NULL) {
        return mask->values[index] != mask->low && mask->values[index] != mask->high;
    }
    return mask->bits == NULL || ((uint32_t)mask->bits[index >> 3] >> (index & 7U) & 1U) != 0U;
}

/* value / 2^shift to nearest, ties away from zero, within +-127; 0 <= shift < 32. */
static inline int8_t fg_error_round(int32_t value, int32_t shift) {
    const uint32_t half = (UINT32_C(1) << (uint32_t)shift) >> 1;
    const uint32_t size = (fg_magnitude(value) + half) >> (uint32_t)shift;
    const int32_t error = (size > 127U) ? 127 : (int32_t)size;
    return (int8_t)((value < 0) ? -error : error);
}

/* Where errors are nothing but zeros there is nothing to do for whoever reads them. */
bool fg_error_none(const fg_error *from, fg_error *to, int8_t *made, uint32_t count);

/* Shift that the sums of this sample are expected to need; 0 while nothing is known. */
int32_t fg_error_shift(const fg_error *to, const fg_error *from);

/* Takes the sums of elements index .. index + count - 1 of an error tensor; where `made` is NULL
 * they are only measured. */
void fg_error_store(const int32_t *sums, uint32_t count, const fg_mask *mask, uint32_t index,
                    int32_t shift, int8_t *made, fg_peaks *peaks);

/* Elements index .. index + count - 1 of an error tensor are `errors`, where the mask is open. */
void fg_copy_open(const int8_t *errors, uint32_t count, const fg_mask *mask, uint32_t index,
                  int8_t *made);

/* Adapts the expectation to what has been seen. */
void fg_error_expect(fg_error *to, const fg_error *from, const fg_peaks *peaks);

/* Describes a tensor whose errors are moved, not computed: those of `from`, some left out. */
void fg_error_moved(fg_error *to, const fg_error *from, const int8_t *made, uint32_t count);

#endif
