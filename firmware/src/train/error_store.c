/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "../kernels/fg_target.h"
#include "error.h"

#if !FG_DSP && !FG_MVE

void fg_mask_keep(const int8_t *values, uint32_t count, int8_t low, int8_t high, uint8_t *bits) {
    memset(bits, 0, (count + 7U) / 8U);
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] != low && values[i] != high) {
            bits[i >> 3] = (uint8_t)(bits[i >> 3] | (1U << (i & 7U)));
        }
    }
}

void fg_error_store(const int32_t *sums, uint32_t count, const fg_mask *mask, uint32_t index,
                    int32_t shift, int8_t *made, fg_peaks *peaks) {
    for (uint32_t i = 0; i < count; i++) {
        const int32_t sum = fg_mask_open(mask, index + i) ? sums[i] : 0;
        peaks->sums |= fg_magnitude(sum);
        if (made != NULL) {
            made[index + i] = fg_error_round(sum, shift);
            peaks->kept |= fg_magnitude(made[index + i]);
        }
    }
}

void fg_error_moved(fg_error *to, const fg_error *from, const int8_t *made, uint32_t count) {
    uint32_t sizes = 0;
    for (uint32_t i = 0; i < count; i++) {
        sizes |= fg_magnitude(made[i]);
    }
    to->exponent = from->exponent;
    to->bits = fg_bit_length(sizes);
}

#endif
