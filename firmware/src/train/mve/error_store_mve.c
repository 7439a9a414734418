/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "../../kernels/fg_fixed_point.h"
#include "../../kernels/fg_target.h"
#include "store_mve.h"

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

void fg_error_store(const int32_t *sums, uint32_t count, const fg_mask *mask, uint32_t index,
                    int32_t shift, int8_t *made, fg_peaks *peaks) {
    const fg_storing of = {mask, shift, made};
    fg_lane_peaks seen = fg_no_lane_peaks();
    for (; count >= FG_WORD_LANES; count -= FG_WORD_LANES) {
        fg_store_sums(&of, fg_load_words(sums), index, FG_WORD_LANES, &seen);
        sums += FG_WORD_LANES;
        index += FG_WORD_LANES;
    }
    if (count != 0U) {
        const int32_t rest = (int32_t)count;
        fg_store_sums(&of, fg_load_first_words(sums, rest), index, rest, &seen);
    }
    fg_add_lane_peaks(peaks, &seen);
}

/* One bit for each of the elements index .. index + 15, of which `count` are there. */
static FG_INLINE uint32_t open_sixteen(const fg_mask *mask, uint32_t index, int32_t count) {
    if (mask->values != NULL) {
        return fg_bits_between(fg_load_first(mask->values + index, count), mask->low, mask->high);
    }
    if (mask->bits == NULL) {
        return 0xFFFFU;
    }
    const uint8_t *bits = mask->bits + (index >> 3);
    const uint32_t at = index & 7U;
    const uint32_t end = at + (uint32_t)count;
    uint32_t open = *bits;
    if (end > 8U) {
        open |= (uint32_t)bits[1] << 8;
    }
    if (end > 16U) {
        open |= (uint32_t)bits[2] << 16;
    }
    return open >> at;
}

void fg_copy_open(const int8_t *errors, uint32_t count, const fg_mask *mask, uint32_t index,
                  int8_t *made) {
    for (int32_t left = (int32_t)count; left > 0; left -= FG_BYTE_LANES) {
        const int32_t some = fg_min(left, FG_BYTE_LANES);
        fg_copy_some_bytes(made + index, errors, open_sixteen(mask, index, some), some);
        errors += FG_BYTE_LANES;
        index += FG_BYTE_LANES;
    }
}

void fg_error_moved(fg_error *to, const fg_error *from, const int8_t *made, uint32_t count) {
    to->exponent = from->exponent;
    to->bits = fg_bit_length(fg_largest_byte_size(made, (int32_t)count));
}

#endif
