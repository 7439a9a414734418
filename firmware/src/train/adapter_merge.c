/* SPDX-License-Identifier: Apache-2.0 */
#include "masters.h"

#include "fleetgrad/fg_backward.h"

#define DOWN_BITS 14

void fg_adapter_merge(uint32_t rank, uint32_t outputs, uint32_t inputs, const int8_t *frozen,
                      int16_t *factors, int8_t *shadow) {
    const int16_t *const down = factors;
    const int16_t *up = factors + rank * inputs;
    for (uint32_t n = 0; n < rank * (inputs + outputs); n++) {
        factors[n] = (int16_t)fg_clamp32(factors[n], FG_MASTER_LIMIT);
    }
    for (uint32_t o = 0; o < outputs; o++) {
        for (uint32_t i = 0; i < inputs; i++) {
            int64_t sum = 0;
            for (uint32_t k = 0; k < rank; k++) {
                sum += (int32_t)up[k] * down[k * inputs + i];
            }
            /* Below 2^23: a product is below 2^30, and the rank is no more than 64. */
            const int32_t difference = (int32_t)fg_shift_round(sum, DOWN_BITS, INT32_MAX);
            const int32_t master = *frozen++ * 256 + difference;
            *shadow++ = fg_rounded_master(fg_clamp32(master, FG_MASTER_LIMIT));
        }
        up += rank;
    }
}
