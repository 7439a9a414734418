/* SPDX-License-Identifier: Apache-2.0 */

/* Multiplications and divisions that GCC expects of its library and Debian's for lx106 leaves out:
 * on the chip they are in ROM. */

#include <stdint.h>

uint64_t __umulsidi3(uint32_t a, uint32_t b);
uint64_t __muldi3(uint64_t a, uint64_t b);
uint32_t __udivsi3(uint32_t a, uint32_t b);
uint32_t __umodsi3(uint32_t a, uint32_t b);
int32_t __divsi3(int32_t a, int32_t b);
int32_t __modsi3(int32_t a, int32_t b);
uint64_t __udivdi3(uint64_t a, uint64_t b);

/* From four products of 16 by 16 bits: the core keeps only the low half of a product. */
uint64_t __umulsidi3(uint32_t a, uint32_t b) {
    const uint32_t a_low = a & 0xFFFFU;
    const uint32_t a_high = a >> 16;
    const uint32_t b_low = b & 0xFFFFU;
    const uint32_t b_high = b >> 16;
    const uint32_t low = a_low * b_low;
    const uint32_t cross = a_high * b_low + (low >> 16); /* never beyond 32 bits */
    const uint32_t other = a_low * b_high + (cross & 0xFFFFU);
    const uint32_t high = a_high * b_high + (cross >> 16) + (other >> 16);
    return ((uint64_t)high << 32) | (other << 16) | (low & 0xFFFFU);
}

uint64_t __muldi3(uint64_t a, uint64_t b) {
    const uint32_t a_low = (uint32_t)a;
    const uint32_t b_low = (uint32_t)b;
    const uint32_t cross = (uint32_t)(a >> 32) * b_low + a_low * (uint32_t)(b >> 32);
    return __umulsidi3(a_low, b_low) + ((uint64_t)cross << 32);
}

/* Divisors of 0 give what the hardware of other cores gives: a quotient of ones. */

uint32_t __udivsi3(uint32_t a, uint32_t b) {
    uint32_t quotient = 0U;
    uint32_t rest = 0U;
    for (uint32_t bit = 0U; bit < 32U; bit++) {
        rest = (rest << 1) | (a >> 31);
        a <<= 1;
        quotient <<= 1;
        if (rest >= b) {
            rest -= b;
            quotient |= 1U;
        }
    }
    return quotient;
}

uint32_t __umodsi3(uint32_t a, uint32_t b) {
    return a - __udivsi3(a, b) * b;
}

int32_t __divsi3(int32_t a, int32_t b) {
    const uint32_t quotient =
        __udivsi3(a < 0 ? 0U - (uint32_t)a : (uint32_t)a, b < 0 ? 0U - (uint32_t)b : (uint32_t)b);
    return (int32_t)((a < 0) != (b < 0) ? 0U - quotient : quotient);
}

int32_t __modsi3(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a - (uint32_t)__divsi3(a, b) * (uint32_t)b);
}

uint64_t __udivdi3(uint64_t a, uint64_t b) {
    uint64_t quotient = 0U;
    uint64_t rest = 0U;
    for (uint32_t bit = 0U; bit < 64U; bit++) {
        const uint64_t carry = rest >> 63; /* a bit beyond the 64 of the rest */
        rest = (rest << 1) | (a >> 63);
        a <<= 1;
        quotient <<= 1;
        if (carry != 0U || rest >= b) {
            rest -= b;
            quotient |= 1U;
        }
    }
    return quotient;
}
