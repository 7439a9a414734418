/* SPDX-License-Identifier: Apache-2.0 */
#include "quotient.h"

/* Bit by bit: a 64-bit division would cost more code than everything else around it. */
uint16_t fg_quotient(uint64_t sum, uint32_t count) {
    if (count == 0U) {
        return 0U;
    }
    sum += count / 2U;
    uint32_t quotient = 0U;
    for (int bit = 15; bit >= 0; bit--) {
        const uint64_t part = (uint64_t)count << bit;
        if (sum >= part) {
            sum -= part;
            quotient |= UINT32_C(1) << bit;
        }
    }
    return sum < count ? (uint16_t)quotient : (uint16_t)UINT16_MAX;
}
