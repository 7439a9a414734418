/* SPDX-License-Identifier: Apache-2.0 */
#include "../../kernels/fg_target.h"
#include "../../kernels/mve/fg_mve.h"
#include "../error.h"

#if FG_MVE

void fg_mask_keep(const int8_t *values, uint32_t count, int8_t low, int8_t high, uint8_t *bits) {
    for (; count >= FG_BYTE_LANES; count -= FG_BYTE_LANES) {
        const uint32_t open = fg_bits_between(fg_load_bytes(values), low, high);
        *bits++ = (uint8_t)(open & 0xFFU);
        *bits++ = (uint8_t)(open >> 8);
        values += FG_BYTE_LANES;
    }
    if (count != 0U) {
        const fg_bytes last = fg_load_first(values, (int32_t)count);
        const uint32_t open = fg_bits_between(last, low, high) & ((1U << count) - 1U);
        *bits++ = (uint8_t)(open & 0xFFU);
        if (count > 8U) {
            *bits = (uint8_t)(open >> 8);
        }
    }
}

/* What the elements of a tensor share. */
typedef struct storing {
    const fg_mask *mask;
    int32_t shift;
    int8_t *made; /* NULL: only measure */
} storing;

/* Sums of elements index .. index + count - 1, 4 or fewer, without those that nothing passes. */
static FG_INLINE fg_words pass_open(const fg_mask *mask, fg_words sums, uint32_t index,
                                    int32_t count) {
    if (mask->values != NULL) {
        const fg_words seen = fg_load_first_as_words(mask->values + index, count);
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

/* sums[i] and kept[i] collect the bits of all magnitudes. */
static FG_INLINE void store(const storing *of, fg_words sums, uint32_t index, int32_t count,
                            fg_words *seen, fg_words *kept) {
    const fg_words passed = pass_open(of->mask, sums, index, count);
    const fg_words size = fg_size_words(passed);
    *seen = fg_or_words(*seen, size);
    if (of->made != NULL) {
        const fg_words small = fg_min_word(fg_round_size_words(size, of->shift), 127);
        *kept = fg_or_words(*kept, small);
        const fg_words sign = fg_negative_words(passed);
        const fg_words error = fg_subtract_words(fg_xor_words(small, sign), sign);
        if (count == FG_WORD_LANES) {
            fg_store_as_bytes(of->made + index, error);
        } else {
            fg_store_first_as_bytes(of->made + index, error, count);
        }
    }
}

void fg_error_store(const int32_t *sums, uint32_t count, const fg_mask *mask, uint32_t index,
                    int32_t shift, int8_t *made, fg_peaks *peaks) {
    const storing of = {mask, shift, made};
    fg_words seen = fg_all_words(0);
    fg_words kept = fg_all_words(0);
    for (; count >= FG_WORD_LANES; count -= FG_WORD_LANES) {
        store(&of, fg_load_words(sums), index, FG_WORD_LANES, &seen, &kept);
        sums += FG_WORD_LANES;
        index += FG_WORD_LANES;
    }
    if (count != 0U) {
        const int32_t rest = (int32_t)count;
        store(&of, fg_load_first_words(sums, rest), index, rest, &seen, &kept);
    }
    peaks->sums |= fg_or_across(seen);
    peaks->kept |= fg_or_across(kept);
}

#endif
