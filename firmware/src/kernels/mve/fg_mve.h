/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_MVE_H
#define FG_MVE_H

/* Vectors of 128 bits: 16 bytes, 8 halves or 4 words. One function per instruction, or per short
 * sequence of them that compilers do not find by themselves; without the instructions, plain C does
 * the same.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "../fg_target.h"

#define FG_BYTE_LANES 16
#define FG_HALF_LANES 8
#define FG_WORD_LANES 4

#if defined(__ARM_FEATURE_MVE)

#include <arm_mve.h>

typedef int8x16_t fg_bytes;
typedef int16x8_t fg_halves;
typedef int32x4_t fg_words;

static FG_INLINE fg_bytes fg_load_bytes(const int8_t *from) {
    return vldrbq_s8(from);
}

/* The first `count` bytes, 0 .. 16, then zeros. */
static FG_INLINE fg_bytes fg_load_first(const int8_t *from, int32_t count) {
    return vldrbq_z_s8(from, vctp8q((uint32_t)count));
}

static FG_INLINE bool fg_all_negative(const int8_t *values, int32_t count) {
    int8_t most = -1;
    for (; count > 0; count -= FG_BYTE_LANES) {
        const mve_pred16_t some = vctp8q((uint32_t)count);
        most = vmaxvq_p_s8(most, vldrbq_z_s8(values, some), some);
        values += FG_BYTE_LANES;
    }
    return most < 0;
}

/* The largest magnitude of `count` bytes. */
static FG_INLINE uint32_t fg_largest_byte_size(const int8_t *values, int32_t count) {
    uint8_t most = 0;
    for (; count > 0; count -= FG_BYTE_LANES) {
        most = vmaxavq_s8(most, vldrbq_z_s8(values, vctp8q((uint32_t)count)));
        values += FG_BYTE_LANES;
    }
    return most;
}

/* sum + all bytes from `from` on. */
static FG_INLINE int32_t fg_add_bytes(int32_t sum, const int8_t *from, int32_t count) {
    for (; count > 0; count -= FG_BYTE_LANES) {
        sum = vaddvaq_s8(sum, vldrbq_z_s8(from, vctp8q((uint32_t)count)));
        from += FG_BYTE_LANES;
    }
    return sum;
}

static FG_INLINE fg_words fg_load_words(const int32_t *from) {
    return vldrwq_s32(from);
}

/* The first `count` words, 0 .. 4, then zeros. */
static FG_INLINE fg_words fg_load_first_words(const int32_t *from, int32_t count) {
    return vldrwq_z_s32(from, vctp32q((uint32_t)count));
}

static FG_INLINE void fg_store_words(int32_t *to, fg_words words) {
    vstrwq_s32(to, words);
}

/* The first `count` words, 0 .. 4. */
static FG_INLINE void fg_store_first_words(int32_t *to, fg_words words, int32_t count) {
    vstrwq_p_s32(to, words, vctp32q((uint32_t)count));
}

/* `count` bytes, 0 .. 4, sign-extended, then zeros. */
static FG_INLINE fg_words fg_load_first_as_words(const int8_t *from, int32_t count) {
    return vldrbq_z_s32(from, vctp32q((uint32_t)count));
}

static FG_INLINE fg_words fg_load_as_words(const int8_t *from) {
    return vldrbq_s32(from);
}

static FG_INLINE fg_words fg_all_words(int32_t value) {
    return vdupq_n_s32(value);
}

/* 0, step, 2 * step, 3 * step. */
static FG_INLINE fg_words fg_word_steps(int32_t step) {
    return vmulq_n_s32(vreinterpretq_s32_u32(vidupq_n_u32(0, 1)), step);
}

static FG_INLINE fg_words fg_add_words(fg_words a, fg_words b) {
    return vaddq_s32(a, b);
}

static FG_INLINE fg_words fg_add_word(fg_words a, int32_t b) {
    return vaddq_n_s32(a, b);
}

static FG_INLINE fg_words fg_subtract_words(fg_words a, fg_words b) {
    return vsubq_s32(a, b);
}

static FG_INLINE fg_words fg_min_words(fg_words a, fg_words b) {
    return vminq_s32(a, b);
}

static FG_INLINE fg_words fg_max_words(fg_words a, fg_words b) {
    return vmaxq_s32(a, b);
}

/* a * b / 2^31 to nearest, ties up; one of the two must not be INT32_MIN. */
static FG_INLINE fg_words fg_high_mul_words(fg_words a, fg_words b) {
    return vqrdmulhq_s32(a, b);
}

static FG_INLINE fg_words fg_high_mul_word(fg_words a, int32_t b) {
    return vqrdmulhq_n_s32(a, b);
}

/* a * 2^shift, modulo 2^32; to nearest, ties up, where the shift is negative. */
static FG_INLINE fg_words fg_shift_words(fg_words a, fg_words shift) {
    return vrshlq_s32(a, shift);
}

static FG_INLINE fg_words fg_shift_word(fg_words a, int32_t shift) {
    return vrshlq_n_s32(a, shift);
}

/* The same for a constant shift, 0 .. 31. */
#define fg_shift_left_words(words, shift) vshlq_n_s32(words, shift)

/* -1 in lanes in which both are negative, else 0. */
static FG_INLINE fg_words fg_both_negative(fg_words a, fg_words b) {
    return vshrq_n_s32(vandq_s32(a, b), 31);
}

/* -1 in negative lanes, else 0. */
static FG_INLINE fg_words fg_negative_words(fg_words a) {
    return vshrq_n_s32(a, 31);
}

/* The low bytes of the first `count` words, 0 .. 4, one after the other. */
static FG_INLINE void fg_store_first_as_bytes(int8_t *to, fg_words words, int32_t count) {
    vstrbq_p_s32(to, words, vctp32q((uint32_t)count));
}

static FG_INLINE void fg_store_as_bytes(int8_t *to, fg_words words) {
    vstrbq_s32(to, words);
}

/* The low bytes of all words, each at its own distance from `to`. */
static FG_INLINE void fg_scatter_as_bytes(int8_t *to, fg_words distances, fg_words words) {
    vstrbq_scatter_offset_s32(to, vreinterpretq_u32_s32(distances), words);
}

/* Neighbours: the words 0, 2, 4, 6 and the words 1, 3, 5, 7. */
typedef struct fg_word_pair {
    fg_words even, odd;
} fg_word_pair;

static FG_INLINE fg_word_pair fg_load_word_pair(const int32_t *from) {
    const int32x4x2_t both = vld2q_s32(from);
    const fg_word_pair pair = {both.val[0], both.val[1]};
    return pair;
}

/* The first `count` words, 0 .. 8, then zeros. */
static FG_INLINE fg_word_pair fg_load_first_word_pair(const int32_t *from, int32_t count) {
    const uint32x4_t places = vidupq_n_u32(0, 2);
    const fg_word_pair pair = {
        vldrwq_gather_shifted_offset_z_s32(from, places, vctp32q((uint32_t)(count + 1) / 2U)),
        vldrwq_gather_shifted_offset_z_s32(from + 1, places, vctp32q((uint32_t)count / 2U))};
    return pair;
}

static FG_INLINE fg_word_pair fg_widen_halves(fg_halves a) {
    const fg_word_pair pair = {vmovlbq_s16(a), vmovltq_s16(a)};
    return pair;
}

/* Within what halves can hold. */
static FG_INLINE fg_halves fg_narrow_words(fg_words even, fg_words odd) {
    fg_halves narrow;
    __asm__("vqmovnb.s32 %q0, %q1\n\t"
            "vqmovnt.s32 %q0, %q2"
            : "=&w"(narrow)
            : "w"(even), "w"(odd));
    return narrow;
}

/* Four words, each at its own distance from `from`, in bytes. */
static FG_INLINE fg_words fg_gather_words(const int32_t *from, fg_words distances) {
    return vldrwq_gather_offset_s32(from, vreinterpretq_u32_s32(distances));
}

/* `count` bytes, 0 .. 8, sign-extended, then zeros. */
static FG_INLINE fg_halves fg_load_first_as_halves(const int8_t *from, int32_t count) {
    return vldrbq_z_s16(from, vctp16q((uint32_t)count));
}

static FG_INLINE fg_halves fg_load_as_halves(const int8_t *from) {
    return vldrbq_s16(from);
}

static FG_INLINE fg_halves fg_all_halves(int16_t value) {
    return vdupq_n_s16(value);
}

/* 0, step .. 7 * step. */
static FG_INLINE fg_halves fg_half_steps(int32_t step) {
    return vmulq_n_s16(vreinterpretq_s16_u16(vidupq_n_u16(0, 1)), (int16_t)step);
}

/* Within what halves can hold. */
static FG_INLINE fg_halves fg_add_half(fg_halves a, int32_t b) {
    return vqaddq_n_s16(a, (int16_t)b);
}

static FG_INLINE fg_halves fg_min_halves(fg_halves a, fg_halves b) {
    return vminq_s16(a, b);
}

static FG_INLINE fg_halves fg_max_halves(fg_halves a, fg_halves b) {
    return vmaxq_s16(a, b);
}

/* The low bytes of all halves, one after the other. */
static FG_INLINE void fg_store_halves_as_bytes(int8_t *to, fg_halves halves) {
    vstrbq_s16(to, halves);
}

/* Those of the first `count`, 0 .. 8. */
static FG_INLINE void fg_store_first_halves_as_bytes(int8_t *to, fg_halves halves, int32_t count) {
    vstrbq_p_s16(to, halves, vctp16q((uint32_t)count));
}

/* The low bytes of all halves, each at its own distance from `to`, below 2^16. */
static FG_INLINE void fg_scatter_halves_as_bytes(int8_t *to, fg_halves distances,
                                                 fg_halves halves) {
    vstrbq_scatter_offset_s16(to, vreinterpretq_u16_s16(distances), halves);
}

/* Those of the first `count`, 0 .. 8. */
static FG_INLINE void fg_scatter_first_halves_as_bytes(int8_t *to, fg_halves distances,
                                                       fg_halves halves, int32_t count) {
    vstrbq_scatter_offset_p_s16(to, vreinterpretq_u16_s16(distances), halves,
                                vctp16q((uint32_t)count));
}

/* Four vectors of `count` bytes, 1 or more, with another one. */
static FG_INLINE fg_words fg_dot_four_long(const int8_t *const x[4], const int8_t *y,
                                           int32_t count) {
    fg_words sums;
    fg_bytes factor;
    fg_bytes value0;
    fg_bytes value1;
    const int8_t *x0 = x[0];
    const int8_t *x1 = x[1];
    const int8_t *x2 = x[2];
    const int8_t *x3 = x[3];
    int32_t sum0 = 0;
    int32_t sum1 = 0;
    int32_t sum2 = 0;
    int32_t sum3 = 0;
    __asm__(
        "dlstp.8 lr, %[count]\n"
        "1:\n\t"
        "vldrb.8 %q[factor], [%[y]], #16\n\t"
        "vldrb.8 %q[value0], [%[x0]], #16\n\t"
        "vldrb.8 %q[value1], [%[x1]], #16\n\t"
        "vmladava.s8 %[sum0], %q[value0], %q[factor]\n\t"
        "vldrb.8 %q[value0], [%[x2]], #16\n\t"
        "vmladava.s8 %[sum1], %q[value1], %q[factor]\n\t"
        "vldrb.8 %q[value1], [%[x3]], #16\n\t"
        "vmladava.s8 %[sum2], %q[value0], %q[factor]\n\t"
        "vmladava.s8 %[sum3], %q[value1], %q[factor]\n\t"
        "letp lr, 1b\n\t"
        "vmov %q[sums][2], %q[sums][0], %[sum0], %[sum2]\n\t"
        "vmov %q[sums][3], %q[sums][1], %[sum1], %[sum3]"
        : [sums] "=w"(sums), [factor] "=&w"(factor), [value0] "=&w"(value0), [value1] "=&w"(value1),
          [sum0] "+Te"(sum0), [sum1] "+Te"(sum1), [sum2] "+Te"(sum2), [sum3] "+Te"(sum3),
          [x0] "+r"(x0), [x1] "+r"(x1), [x2] "+r"(x2), [x3] "+r"(x3), [y] "+r"(y)
        : [count] "r"(count)
        : "lr", "memory");
    return sums;
}

/* `to` may overlap `from` from below. */
static FG_INLINE void fg_copy_bytes(int8_t *to, const int8_t *from, int32_t count) {
    fg_bytes value;
    __asm__ volatile("wlstp.8 lr, %[count], 2f\n"
                     "1:\n\t"
                     "vldrb.8 %q[value], [%[from]], #16\n\t"
                     "vstrb.8 %q[value], [%[to]], #16\n\t"
                     "letp lr, 1b\n"
                     "2:"
                     : [value] "=&w"(value), [to] "+r"(to), [from] "+r"(from)
                     : [count] "r"(count)
                     : "lr", "memory");
}

static FG_INLINE void fg_fill_bytes(int8_t *to, int8_t value, int32_t count) {
    const fg_bytes all = vdupq_n_s8(value);
    __asm__ volatile("wlstp.8 lr, %[count], 2f\n"
                     "1:\n\t"
                     "vstrb.8 %q[all], [%[to]], #16\n\t"
                     "letp lr, 1b\n"
                     "2:"
                     : [to] "+r"(to)
                     : [all] "w"(all), [count] "r"(count)
                     : "lr", "memory");
}

#else

#include "fg_mve_emulated.h"

#endif

#endif
