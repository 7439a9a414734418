/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_STORE_DSP_H
#define FG_TRAIN_STORE_DSP_H

/* Four neighbouring sums at a time: mask, measure, round. */

#include "../../kernels/dsp/fg_dsp.h"
#include "../error.h"

/* What the elements of a tensor share. */
typedef struct fg_storing {
    const fg_mask *mask;
    uint32_t low, high; /* ends of the clamp, four times */
    int32_t step;       /* 2^(32 - shift), where that fits: four elements can be stored at once */
    int32_t shift;
    int8_t *made; /* NULL: only measure */
} fg_storing;

static FG_INLINE fg_storing fg_storing_of(const fg_mask *mask, int32_t shift, int8_t *made) {
    const fg_storing storing = {
        .mask = mask,
        .low = (uint8_t)mask->low * 0x01010101U,
        .high = (uint8_t)mask->high * 0x01010101U,
        .step = shift >= 2 && made != NULL ? (int32_t)(UINT32_C(1) << (32U - (uint32_t)shift)) : 0,
        .shift = shift,
        .made = made,
    };
    return storing;
}

/* 0xFF for each of four values that is not clamped. */
static FG_INLINE uint32_t fg_open_bytes(uint32_t values, uint32_t low, uint32_t high) {
    return fg_bytes_that_differ(values, low) & fg_bytes_that_differ(values, high);
}

/* Bits 0 .. 3: whether errors pass elements index .. index + 3, index being a multiple of 4. */
static FG_INLINE uint32_t fg_open_four(const fg_storing *storing, uint32_t index) {
    const fg_mask *const mask = storing->mask;
    if (mask->values != NULL) {
        const uint32_t open =
            fg_open_bytes(fg_load_quad(mask->values + index), storing->low, storing->high);
        return ((open & 0x08040201U) * 0x01010101U) >> 24;
    }
    return mask->bits == NULL ? 0xFU : (uint32_t)mask->bits[index >> 3] >> (index & 4U) & 0xFU;
}

/* Any elements. */
static FG_INLINE void fg_store_some(const fg_storing *storing, const int32_t *sums, uint32_t count,
                                    uint32_t index, fg_peaks *peaks) {
    for (uint32_t i = 0; i < count; i++) {
        const int32_t sum = fg_mask_open(storing->mask, index + i) ? sums[i] : 0;
        peaks->sums |= fg_magnitude(sum);
        if (storing->made != NULL) {
            const int8_t error = fg_error_round(sum, storing->shift);
            storing->made[index + i] = error;
            peaks->kept |= fg_magnitude(error);
        }
    }
}

/* The error of a sum, where `open` is -1 and not 0; still -128 at the least. One less where the sum
 * is negative makes the multiplication round ties away from zero, and the complement of that is
 * the sum's magnitude. */
static FG_INLINE int32_t fg_round_quickly(int32_t sum, int32_t open, int32_t step,
                                          uint32_t *sizes) {
    const int32_t passed = sum & open;
    const int32_t less = passed + (passed >> 31);
    *sizes |= (uint32_t)(less ^ (less >> 31));
    return fg_to_int8(fg_high_mul(less, step));
}

/* Elements index .. index + 3, index being a multiple of 4; `open` as above. */
static FG_INLINE void fg_store_open_four(const fg_storing *storing, const int32_t *sums,
                                         uint32_t open, uint32_t index, fg_peaks *peaks) {
    const int32_t step = storing->step;
    if (step == 0) {
        fg_store_some(storing, sums, 4U, index, peaks);
        return;
    }
    const int32_t error0 =
        fg_round_quickly(sums[0], (int32_t)(open << 31) >> 31, step, &peaks->sums);
    const int32_t error1 =
        fg_round_quickly(sums[1], (int32_t)(open << 30) >> 31, step, &peaks->sums);
    const int32_t error2 =
        fg_round_quickly(sums[2], (int32_t)(open << 29) >> 31, step, &peaks->sums);
    const int32_t error3 =
        fg_round_quickly(sums[3], (int32_t)(open << 28) >> 31, step, &peaks->sums);
    const uint32_t even = fg_lower_halves((uint32_t)error0, (uint32_t)error2) & 0x00FF00FFU;
    const uint32_t odd = fg_lower_halves((uint32_t)error1, (uint32_t)error3) & 0x00FF00FFU;
    const uint32_t errors = fg_without_lowest(even | odd << 8);
    peaks->kept |= fg_magnitudes(errors);
    memcpy(storing->made + index, &errors, sizeof errors);
}

static FG_INLINE void fg_store_four(const fg_storing *storing, const int32_t *sums, uint32_t index,
                                    fg_peaks *peaks) {
    fg_store_open_four(storing, sums, fg_open_four(storing, index), index, peaks);
}

/* The magnitudes of all bytes of fg_magnitudes() results, or'ed. */
static FG_INLINE uint32_t fg_fold_bytes(uint32_t bytes) {
    const uint32_t halves = bytes | bytes >> 16;
    return (halves | halves >> 8) & 0xFFU;
}

#endif
