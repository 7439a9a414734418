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
    uint32_t half;
    uint32_t shift;
    int8_t *made; /* NULL: only measure */
} fg_storing;

static FG_INLINE fg_storing fg_storing_of(const fg_mask *mask, int32_t shift, int8_t *made) {
    const fg_storing storing = {
        .mask = mask,
        .low = (uint8_t)mask->low * 0x01010101U,
        .high = (uint8_t)mask->high * 0x01010101U,
        .half = (UINT32_C(1) << (uint32_t)shift) >> 1,
        .shift = (uint32_t)shift,
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

/* One element, `open` being -1 or 0. */
static FG_INLINE void fg_store_one(const fg_storing *storing, int32_t sum, int32_t open,
                                   int8_t *made, fg_peaks *peaks) {
    const int32_t passed = sum & open;
    const int32_t sign = passed >> 31;
    const uint32_t size = (uint32_t)((passed ^ sign) - sign);
    peaks->sums |= size;
    const uint32_t kept = fg_to_7_bits((size + storing->half) >> storing->shift);
    peaks->kept |= kept;
    if (made != NULL) {
        *made = (int8_t)(((int32_t)kept ^ sign) - sign);
    }
}

/* Elements index .. index + 3, index being a multiple of 4; `open` as above. */
static FG_INLINE void fg_store_open_four(const fg_storing *storing, const int32_t *sums,
                                         uint32_t open, uint32_t index, fg_peaks *peaks) {
    int8_t *const made = storing->made == NULL ? NULL : storing->made + index;
    const int32_t all[4] = {(int32_t)(open << 31) >> 31, (int32_t)(open << 30) >> 31,
                            (int32_t)(open << 29) >> 31, (int32_t)(open << 28) >> 31};
    if (made == NULL) {
        for (uint32_t lane = 0; lane < 4U; lane++) {
            fg_store_one(storing, sums[lane], all[lane], NULL, peaks);
        }
        return;
    }
    fg_store_one(storing, sums[0], all[0], made, peaks);
    fg_store_one(storing, sums[1], all[1], made + 1, peaks);
    fg_store_one(storing, sums[2], all[2], made + 2, peaks);
    fg_store_one(storing, sums[3], all[3], made + 3, peaks);
}

static FG_INLINE void fg_store_four(const fg_storing *storing, const int32_t *sums, uint32_t index,
                                    fg_peaks *peaks) {
    fg_store_open_four(storing, sums, fg_open_four(storing, index), index, peaks);
}

/* Any elements. */
static FG_INLINE void fg_store_some(const fg_storing *storing, const int32_t *sums, uint32_t count,
                                    uint32_t index, fg_peaks *peaks) {
    for (uint32_t i = 0; i < count; i++) {
        const int32_t open = fg_mask_open(storing->mask, index + i) ? -1 : 0;
        int8_t *const made = storing->made == NULL ? NULL : storing->made + index + i;
        fg_store_one(storing, sums[i], open, made, peaks);
    }
}

#endif
