/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_DSP_H
#define FG_DSP_H

/* One function per instruction. What the compiler has no intrinsic for, or does not find by itself,
 * is one line of assembly; without the instructions, plain C does the same. */

#include <stdint.h>
#include <string.h>

#include "../fg_target.h"

#if defined(__ARM_FEATURE_DSP)

#include <arm_acle.h>

/* Bytes 0 and 2, sign-extended to a pair of int16. */
static FG_INLINE uint32_t fg_even_bytes(uint32_t bytes) {
    return (uint32_t)__sxtb16((int8x4_t)bytes);
}

/* Bytes 1 and 3. */
static FG_INLINE uint32_t fg_odd_bytes(uint32_t bytes) {
    uint32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(bytes));
    return pair;
}

/* The lower halves of two words: of `low` below, of `high` above. */
static FG_INLINE uint32_t fg_lower_halves(uint32_t low, uint32_t high) {
    uint32_t pair;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(pair) : "r"(low), "r"(high));
    return pair;
}

static FG_INLINE uint32_t fg_upper_halves(uint32_t low, uint32_t high) {
    uint32_t pair;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(pair) : "r"(high), "r"(low));
    return pair;
}

/* sum + both products of two pairs of int16, modulo 2^32. */
static FG_INLINE uint32_t fg_dot_pair(uint32_t a, uint32_t b, uint32_t sum) {
    return (uint32_t)__smlad((int16x2_t)a, (int16x2_t)b, (int32_t)sum);
}

/* sum + the product of the lower halves, of the upper halves. */
static FG_INLINE uint32_t fg_dot_lower(uint32_t a, uint32_t b, uint32_t sum) {
    return (uint32_t)__smlabb((int32_t)a, (int32_t)b, (int32_t)sum);
}

static FG_INLINE uint32_t fg_dot_upper(uint32_t a, uint32_t b, uint32_t sum) {
    return (uint32_t)__smlatt((int32_t)a, (int32_t)b, (int32_t)sum);
}

/* a * b / 2^32 to nearest, ties up. */
static FG_INLINE int32_t fg_high_mul(int32_t a, int32_t b) {
    int32_t high;
    __asm__("smmulr %0, %1, %2" : "=r"(high) : "r"(a), "r"(b));
    return high;
}

/* The same, added to `sum`. */
static FG_INLINE int32_t fg_high_mul_add(int32_t a, int32_t b, int32_t sum) {
    int32_t high;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(high) : "r"(a), "r"(b), "r"(sum));
    return high;
}

/* 2 * x, saturating. */
static FG_INLINE int32_t fg_double(uint32_t x) {
    return __qdbl((int32_t)x);
}

static FG_INLINE int32_t fg_to_int8(int32_t x) {
    int32_t saturated;
    __asm__("ssat %0, #8, %1" : "=r"(saturated) : "r"(x));
    return saturated;
}

/* a * b / 2^32 rounded down, added to `sum`. */
static FG_INLINE int32_t fg_upper_mul_add(int32_t a, int32_t b, int32_t sum) {
    int32_t high;
    __asm__("smmla %0, %1, %2, %3" : "=r"(high) : "r"(a), "r"(b), "r"(sum));
    return high;
}

/* Sums and differences of two pairs of int16, each saturated. */
static FG_INLINE uint32_t fg_add_pairs(uint32_t a, uint32_t b) {
    return (uint32_t)__qadd16((int16x2_t)a, (int16x2_t)b);
}

static FG_INLINE uint32_t fg_subtract_pairs(uint32_t a, uint32_t b) {
    return (uint32_t)__qsub16((int16x2_t)a, (int16x2_t)b);
}

/* sums + bytes 0 and 2, bytes 1 and 3, sign-extended; no carry between the halves. */
static FG_INLINE uint32_t fg_add_even_bytes(uint32_t sums, uint32_t bytes) {
    uint32_t pair;
    __asm__("sxtab16 %0, %1, %2" : "=r"(pair) : "r"(sums), "r"(bytes));
    return pair;
}

static FG_INLINE uint32_t fg_add_odd_bytes(uint32_t sums, uint32_t bytes) {
    uint32_t pair;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(pair) : "r"(sums), "r"(bytes));
    return pair;
}

/* Four int8, -128 among them made -127. */
static FG_INLINE uint32_t fg_without_lowest(uint32_t bytes) {
    __asm__("qsub8 %0, %0, %1\n\tsadd8 %0, %0, %1" : "+&r"(bytes) : "r"(0x01010101U));
    return bytes;
}

/* Magnitudes of four int8. */
static FG_INLINE uint32_t fg_magnitudes(uint32_t bytes) {
    uint32_t negated;
    __asm__("ssub8 %0, %2, %1\n\tsel %0, %0, %1" : "=&r"(negated) : "r"(bytes), "r"(0U));
    return negated;
}

/* 0xFF in each byte where the two differ, else 0. */
static FG_INLINE uint32_t fg_bytes_that_differ(uint32_t a, uint32_t b) {
    uint32_t bytes = a ^ b;
    __asm__("uadd8 %0, %0, %1\n\tsel %0, %1, %2" : "+&r"(bytes) : "r"(0xFFFFFFFFU), "r"(0U));
    return bytes;
}

/* Inner loops in assembly, where the compiler takes it and has all registers to give. */
#if defined(__OPTIMIZE__) && !defined(__clang__)
#define FG_DSP_LOOPS 1
#endif

/* An assembly loop over quads of taps, four per turn. `quads`, a register, holds their number, not
 * 0, and is lost; what four does not divide goes first, by entering in the middle. `again` sets the
 * flags to not equal as long as there is more. */
#define FG_LOOP_OVER_QUADS(quads, quad, again)                                                     \
    "lsls " quads ", " quads ", #31\n\t"                                                           \
    "beq  5f\n\t"                                                                                  \
    "bcs  2f\n\t"                                                                                  \
    "b    4f\n"                                                                                    \
    "5:\n\t"                                                                                       \
    "bcs  3f\n"                                                                                    \
    "1:\n\t" quad "2:\n\t" quad "3:\n\t" quad "4:\n\t" quad again "bne  1b"

#else

static FG_INLINE uint32_t fg_pair(int32_t low, int32_t high) {
    return ((uint32_t)low & 0xFFFFU) | (uint32_t)high << 16;
}

static FG_INLINE int32_t fg_lower(uint32_t pair) {
    return (int16_t)(pair & 0xFFFFU);
}

static FG_INLINE int32_t fg_upper(uint32_t pair) {
    return (int16_t)(pair >> 16);
}

static FG_INLINE uint32_t fg_even_bytes(uint32_t bytes) {
    return fg_pair((int8_t)(bytes & 0xFFU), (int8_t)(bytes >> 16 & 0xFFU));
}

static FG_INLINE uint32_t fg_odd_bytes(uint32_t bytes) {
    return fg_even_bytes(bytes >> 8);
}

static FG_INLINE uint32_t fg_lower_halves(uint32_t low, uint32_t high) {
    return (low & 0xFFFFU) | high << 16;
}

static FG_INLINE uint32_t fg_upper_halves(uint32_t low, uint32_t high) {
    return low >> 16 | (high & 0xFFFF0000U);
}

static FG_INLINE uint32_t fg_dot_lower(uint32_t a, uint32_t b, uint32_t sum) {
    return sum + (uint32_t)(fg_lower(a) * fg_lower(b));
}

static FG_INLINE uint32_t fg_dot_upper(uint32_t a, uint32_t b, uint32_t sum) {
    return sum + (uint32_t)(fg_upper(a) * fg_upper(b));
}

static FG_INLINE uint32_t fg_dot_pair(uint32_t a, uint32_t b, uint32_t sum) {
    return fg_dot_lower(a, b, fg_dot_upper(a, b, sum));
}

static FG_INLINE int32_t fg_high_mul(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (1LL << 31)) >> 32);
}

static FG_INLINE int32_t fg_high_mul_add(int32_t a, int32_t b, int32_t sum) {
    return (int32_t)((uint32_t)sum + (uint32_t)fg_high_mul(a, b));
}

static FG_INLINE int32_t fg_double(uint32_t x) {
    const int64_t doubled = (int64_t)(int32_t)x * 2;
    return doubled > INT32_MAX ? INT32_MAX : doubled < INT32_MIN ? INT32_MIN : (int32_t)doubled;
}

static FG_INLINE int32_t fg_to_int8(int32_t x) {
    return x < INT8_MIN ? INT8_MIN : x > INT8_MAX ? INT8_MAX : x;
}

static FG_INLINE int32_t fg_upper_mul_add(int32_t a, int32_t b, int32_t sum) {
    return (int32_t)((uint32_t)sum + (uint32_t)(((int64_t)a * b) >> 32));
}

static FG_INLINE int32_t fg_to_int16(int32_t x) {
    return x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x;
}

static FG_INLINE uint32_t fg_add_pairs(uint32_t a, uint32_t b) {
    return fg_pair(fg_to_int16(fg_lower(a) + fg_lower(b)), fg_to_int16(fg_upper(a) + fg_upper(b)));
}

static FG_INLINE uint32_t fg_subtract_pairs(uint32_t a, uint32_t b) {
    return fg_pair(fg_to_int16(fg_lower(a) - fg_lower(b)), fg_to_int16(fg_upper(a) - fg_upper(b)));
}

static FG_INLINE uint32_t fg_add_even_bytes(uint32_t sums, uint32_t bytes) {
    const uint32_t pair = fg_even_bytes(bytes);
    return ((sums + pair) & 0xFFFFU) | ((sums >> 16) + (pair >> 16)) << 16;
}

static FG_INLINE uint32_t fg_add_odd_bytes(uint32_t sums, uint32_t bytes) {
    return fg_add_even_bytes(sums, bytes >> 8);
}

static FG_INLINE uint32_t fg_without_lowest(uint32_t bytes) {
    uint32_t made = 0;
    for (uint32_t shift = 0; shift < 32U; shift += 8U) {
        const uint32_t byte = bytes >> shift & 0xFFU;
        made |= (byte == 0x80U ? 0x81U : byte) << shift;
    }
    return made;
}

static FG_INLINE uint32_t fg_magnitudes(uint32_t bytes) {
    uint32_t made = 0;
    for (uint32_t shift = 0; shift < 32U; shift += 8U) {
        const uint32_t byte = bytes >> shift & 0xFFU;
        made |= ((byte & 0x80U) != 0U ? 0x100U - byte : byte) << shift;
    }
    return made;
}

static FG_INLINE uint32_t fg_bytes_that_differ(uint32_t a, uint32_t b) {
    uint32_t bytes = 0;
    for (uint32_t byte = 0xFFU; byte != 0U; byte <<= 8) {
        bytes |= ((a ^ b) & byte) != 0U ? byte : 0U;
    }
    return bytes;
}

#endif

#if !defined(FG_DSP_LOOPS)
#define FG_DSP_LOOPS 0
#endif

static FG_INLINE uint32_t fg_load_pair(const int16_t *halves) {
    uint32_t pair;
    memcpy(&pair, halves, sizeof pair);
    return pair;
}

/* Four bytes from anywhere. */
static FG_INLINE uint32_t fg_load_quad(const int8_t *bytes) {
    uint32_t quad;
    memcpy(&quad, bytes, sizeof quad);
    return quad;
}

/* The first `count` < 4 bytes, then zeros. */
static FG_INLINE uint32_t fg_load_some(const int8_t *bytes, int32_t count) {
    uint32_t quad = 0;
    for (int32_t index = count; index > 0; --index) {
        quad = quad << 8 | (uint8_t)bytes[index - 1];
    }
    return quad;
}

/* The last 1 .. 3 bytes of `bytes`, then zeros; `before` says how many bytes precede them. */
static FG_INLINE uint32_t fg_load_rest(const int8_t *bytes, int32_t count, int32_t before) {
    if (before < 4) {
        return fg_load_some(bytes, count);
    }
    return fg_load_quad(bytes + count - 4) >> (32 - 8 * count);
}

#endif
