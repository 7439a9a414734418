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

/* 16 bytes, the first `skipped` of them as zeros; none of these is read. */
static FG_INLINE fg_bytes fg_load_after(const int8_t *from, int32_t skipped) {
    return vldrbq_z_s8(from, (mve_pred16_t)~vctp8q((uint32_t)skipped));
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

/* Four inner products of 16 bytes each. */
static FG_INLINE fg_words fg_dot_each(fg_bytes x0, fg_bytes y0, fg_bytes x1, fg_bytes y1,
                                      fg_bytes x2, fg_bytes y2, fg_bytes x3, fg_bytes y3) {
    fg_words sums;
    int32_t sum0;
    int32_t sum1;
    int32_t sum2;
    int32_t sum3;
    __asm__("vmladav.s8 %0, %q1, %q2" : "=Te"(sum0) : "w"(x0), "w"(y0));
    __asm__("vmladav.s8 %0, %q1, %q2" : "=Te"(sum1) : "w"(x1), "w"(y1));
    __asm__("vmladav.s8 %0, %q1, %q2" : "=Te"(sum2) : "w"(x2), "w"(y2));
    __asm__("vmladav.s8 %0, %q1, %q2" : "=Te"(sum3) : "w"(x3), "w"(y3));
    __asm__("vmov %q[sums][2], %q[sums][0], %[sum0], %[sum2]\n\t"
            "vmov %q[sums][3], %q[sums][1], %[sum1], %[sum3]"
            : [sums] "=w"(sums)
            : [sum0] "r"(sum0), [sum1] "r"(sum1), [sum2] "r"(sum2), [sum3] "r"(sum3));
    return sums;
}

/* Four inner products of 16 * chunks bytes each, 1 chunk or more. The first factors are `pitch`
 * bytes apart; the second ones lie chunk by chunk, the four of them one after the other. */
static FG_INLINE fg_words fg_dot_each_long(const int8_t *x, int32_t pitch, const int8_t *y,
                                           int32_t chunks) {
    const int8_t *x0 = x;
    const int8_t *x1;
    const int8_t *x2;
    const int8_t *x3;
    fg_words sums;
    fg_bytes value;
    fg_bytes factor;
    int32_t sum0 = 0;
    int32_t sum1 = 0;
    int32_t sum2 = 0;
    int32_t sum3 = 0;
    __asm__("add %[x1], %[x0], %[pitch]\n\t"
            "add %[x2], %[x1], %[pitch]\n\t"
            "add %[x3], %[x2], %[pitch]\n\t"
            "dls lr, %[chunks]\n"
            "1:\n\t"
            "vldrb.8 %q[value], [%[x0]], #16\n\t"
            "vldrb.8 %q[factor], [%[y]]\n\t"
            "vmladava.s8 %[sum0], %q[value], %q[factor]\n\t"
            "vldrb.8 %q[value], [%[x1]], #16\n\t"
            "vldrb.8 %q[factor], [%[y], #16]\n\t"
            "vmladava.s8 %[sum1], %q[value], %q[factor]\n\t"
            "vldrb.8 %q[value], [%[x2]], #16\n\t"
            "vldrb.8 %q[factor], [%[y], #32]\n\t"
            "vmladava.s8 %[sum2], %q[value], %q[factor]\n\t"
            "vldrb.8 %q[value], [%[x3]], #16\n\t"
            "vldrb.8 %q[factor], [%[y], #48]\n\t"
            "vmladava.s8 %[sum3], %q[value], %q[factor]\n\t"
            "add %[y], #64\n\t"
            "le lr, 1b\n\t"
            "vmov %q[sums][2], %q[sums][0], %[sum0], %[sum2]\n\t"
            "vmov %q[sums][3], %q[sums][1], %[sum1], %[sum3]"
            : [sums] "=w"(sums), [factor] "=&w"(factor), [value] "=&w"(value), [sum0] "+Te"(sum0),
              [sum1] "+Te"(sum1), [sum2] "+Te"(sum2), [sum3] "+Te"(sum3), [x0] "+r"(x0),
              [x1] "=&r"(x1), [x2] "=&r"(x2), [x3] "=&r"(x3), [y] "+r"(y)
            : [chunks] "r"(chunks), [pitch] "r"(pitch)
            : "lr", "cc", "memory");
    return sums;
}

/* Four inner products with the same 16 bytes. */
static FG_INLINE fg_words fg_dot_four(fg_bytes x0, fg_bytes x1, fg_bytes x2, fg_bytes x3,
                                      fg_bytes y) {
    fg_words sums;
    int32_t sum0;
    int32_t sum1;
    int32_t sum2;
    int32_t sum3;
    __asm__("vmladav.s8 %[sum0], %q[x0], %q[y]\n\t"
            "vmladav.s8 %[sum1], %q[x1], %q[y]\n\t"
            "vmladav.s8 %[sum2], %q[x2], %q[y]\n\t"
            "vmladav.s8 %[sum3], %q[x3], %q[y]\n\t"
            "vmov %q[sums][2], %q[sums][0], %[sum0], %[sum2]\n\t"
            "vmov %q[sums][3], %q[sums][1], %[sum1], %[sum3]"
            : [sums] "=w"(sums), [sum0] "=&Te"(sum0), [sum1] "=&Te"(sum1), [sum2] "=&Te"(sum2),
              [sum3] "=&Te"(sum3)
            : [x0] "w"(x0), [x1] "w"(x1), [x2] "w"(x2), [x3] "w"(x3), [y] "w"(y));
    return sums;
}

/* Four vectors of 17 to 32 bytes with another one: y0 is its first 16 bytes, y1 its last ones, with
 * zeros for those that it has in common with y0; `last` is where the last 16 bytes begin. */
static FG_INLINE fg_words fg_dot_four_pairs(const int8_t *const x[4], int32_t last, fg_bytes y0,
                                            fg_bytes y1) {
    fg_words sums;
    fg_bytes x0;
    int32_t sum0;
    int32_t sum1;
    int32_t sum2;
    int32_t sum3;
    x0 = vldrbq_s8(x[0]);
    __asm__("vmladav.s8 %0, %q1, %q2" : "=Te"(sum0) : "w"(x0), "w"(y0));
    x0 = vldrbq_s8(x[1]);
    __asm__("vmladav.s8 %0, %q1, %q2" : "=Te"(sum1) : "w"(x0), "w"(y0));
    x0 = vldrbq_s8(x[2]);
    __asm__("vmladav.s8 %0, %q1, %q2" : "=Te"(sum2) : "w"(x0), "w"(y0));
    x0 = vldrbq_s8(x[3]);
    __asm__("vmladav.s8 %0, %q1, %q2" : "=Te"(sum3) : "w"(x0), "w"(y0));
    x0 = vldrbq_s8(x[0] + last);
    __asm__("vmladava.s8 %0, %q1, %q2" : "+Te"(sum0) : "w"(x0), "w"(y1));
    x0 = vldrbq_s8(x[1] + last);
    __asm__("vmladava.s8 %0, %q1, %q2" : "+Te"(sum1) : "w"(x0), "w"(y1));
    x0 = vldrbq_s8(x[2] + last);
    __asm__("vmladava.s8 %0, %q1, %q2" : "+Te"(sum2) : "w"(x0), "w"(y1));
    x0 = vldrbq_s8(x[3] + last);
    __asm__("vmladava.s8 %0, %q1, %q2" : "+Te"(sum3) : "w"(x0), "w"(y1));
    __asm__("vmov %q[sums][2], %q[sums][0], %[sum0], %[sum2]\n\t"
            "vmov %q[sums][3], %q[sums][1], %[sum1], %[sum3]"
            : [sums] "=w"(sums)
            : [sum0] "r"(sum0), [sum1] "r"(sum1), [sum2] "r"(sum2), [sum3] "r"(sum3));
    return sums;
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
