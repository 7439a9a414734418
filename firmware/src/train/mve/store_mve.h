/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_STORE_MVE_H
#define FG_TRAIN_STORE_MVE_H

/* Four neighbouring sums at a time: mask, measure, round. */

#include "../error.h"
#include "train_mve.h"

/* What the elements of a tensor share. */
typedef struct fg_storing {
    const fg_mask *mask;
    int32_t shift;
    int8_t *made; /* NULL: only measure */
} fg_storing;

/* Sums of elements index .. index + count - 1, 4 or fewer, without those that nothing passes. */
static FG_INLINE fg_words fg_pass_open(const fg_mask *mask, fg_words sums, uint32_t index,
                                       int32_t count) {
    if (mask->values != NULL) {
        const int8_t *values = mask->values + index;
        const fg_words seen = count == FG_WORD_LANES ? fg_load_as_words(values)
                                                     : fg_load_first_as_words(values, count);
        return fg_keep_between(sums, seen, mask->low, mask->high);
    }
    if (mask->bits != NULL) {
        const uint32_t at = index & 7U;
        uint32_t open = (uint32_t)mask->bits[index >> 3] >> at;
        if ((int32_t)at + count > 8) {
            open |= (uint32_t)mask->bits[(index >> 3) + 1U] << (8U - at);
        }
        return fg_keep_bits(sums, open);
    }
    return sums;
}

/* All magnitudes seen, ORed lane by lane. */
typedef struct fg_lane_peaks {
    fg_words sums, kept;
} fg_lane_peaks;

static FG_INLINE fg_lane_peaks fg_no_lane_peaks(void) {
    const fg_lane_peaks none = {fg_all_words(0), fg_all_words(0)};
    return none;
}

static FG_INLINE void fg_add_lane_peaks(fg_peaks *peaks, const fg_lane_peaks *more) {
    peaks->sums |= fg_or_across(more->sums);
    peaks->kept |= fg_or_across(more->kept);
}

/* The same by the largest magnitudes. */
typedef struct fg_half_peaks {
    fg_words sums;
    fg_halves kept;
} fg_half_peaks;

static FG_INLINE void fg_add_half_peaks(fg_peaks *peaks, const fg_half_peaks *more) {
    peaks->sums |= fg_most_size_words(more->sums);
    peaks->kept |= fg_most_size_halves(more->kept);
}

/* One bit for each of the elements index .. index + 7: whether errors pass. */
static FG_INLINE uint32_t fg_open_eight(const fg_mask *mask, uint32_t index) {
    if (mask->values != NULL) {
        const fg_bytes values = fg_load_first(mask->values + index, FG_HALF_LANES);
        return fg_bits_between(values, mask->low, mask->high);
    }
    if (mask->bits == NULL) {
        return 0xFFU;
    }
    const uint8_t *const bits = mask->bits + (index >> 3);
    const uint32_t at = index & 7U;
    return at == 0U ? bits[0] : ((uint32_t)bits[0] | (uint32_t)bits[1] << 8) >> at;
}

/* Elements index .. index + count - 1, 4 or fewer. */
static FG_INLINE void fg_store_sums(const fg_storing *of, fg_words sums, uint32_t index,
                                    int32_t count, fg_lane_peaks *peaks) {
    const fg_words passed = fg_pass_open(of->mask, sums, index, count);
    const fg_words size = fg_size_words(passed);
    peaks->sums = fg_or_words(peaks->sums, size);
    if (of->made != NULL) {
        const fg_words small = fg_min_size(fg_round_size_words(size, of->shift), 127U);
        peaks->kept = fg_or_words(peaks->kept, small);
        const fg_words sign = fg_negative_words(passed);
        const fg_words error = fg_subtract_words(fg_xor_words(small, sign), sign);
        if (count == FG_WORD_LANES) {
            fg_store_as_bytes(of->made + index, error);
        } else {
            fg_store_first_as_bytes(of->made + index, error, count);
        }
    }
}

/* `pixels` of a block of eight channels, [channel][FG_SUMS_PIXELS]; `index` is the first one's,
 * and `step` leads to the next one's. For shifts of 1 or more, where errors are made. */
void fg_store_block(const fg_storing *of, const int32_t *sums, int32_t pixels, uint32_t index,
                    uint32_t step, fg_peaks *peaks);

/* The same for `count` channels, 8 or fewer, and any shift, or to measure only. */
void fg_store_any_block(const fg_storing *of, const int32_t *sums, int32_t count, int32_t pixels,
                        uint32_t index, uint32_t step, fg_peaks *peaks);

#endif
