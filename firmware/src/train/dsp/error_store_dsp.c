/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "../../kernels/fg_target.h"
#include "store_dsp.h"

#if FG_DSP && !FG_MVE

void fg_mask_keep(const int8_t *values, uint32_t count, int8_t low, int8_t high, uint8_t *bits) {
    const uint32_t lows = (uint8_t)low * 0x01010101U;
    const uint32_t highs = (uint8_t)high * 0x01010101U;
    for (; count >= 8U; count -= 8U) {
        const uint32_t first = fg_open_bytes(fg_load_quad(values), lows, highs) & 0x08040201U;
        const uint32_t second = fg_open_bytes(fg_load_quad(values + 4), lows, highs) & 0x80402010U;
        /* The upper byte of the product is the sum of all bytes: none of them shares a bit. */
        *bits++ = (uint8_t)((first + second) * 0x01010101U >> 24);
        values += 8;
    }
    if (count != 0U) {
        uint32_t last = 0;
        for (uint32_t i = 0; i < count; i++) {
            last |= (uint32_t)(values[i] != low && values[i] != high) << i;
        }
        *bits = (uint8_t)last;
    }
}

void fg_error_store(const int32_t *sums, uint32_t count, const fg_mask *mask, uint32_t index,
                    int32_t shift, int8_t *made, fg_peaks *peaks) {
    const fg_storing storing = fg_storing_of(mask, shift, made);
    fg_peaks seen = *peaks;
    if ((index & 3U) == 0U) {
        for (; count >= 4U; count -= 4U) {
            fg_store_four(&storing, sums, index, &seen);
            sums += 4;
            index += 4U;
        }
    }
    seen.kept = fg_fold_bytes(seen.kept);
    fg_store_some(&storing, sums, count, index, &seen);
    *peaks = seen;
}

void fg_error_moved(fg_error *to, const fg_error *from, const int8_t *made, uint32_t count) {
    uint32_t sizes = 0;
    for (; count >= 4U; count -= 4U) {
        sizes |= fg_magnitudes(fg_load_quad(made));
        made += 4;
    }
    sizes = fg_fold_bytes(sizes);
    for (; count > 0U; count--) {
        sizes |= fg_magnitude(*made++);
    }
    to->exponent = from->exponent;
    to->bits = fg_bit_length(sizes);
}

#endif
