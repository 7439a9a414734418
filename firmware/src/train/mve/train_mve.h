/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_MVE_H
#define FG_TRAIN_MVE_H

/* More of fg_mve.h: what only training needs. */

#include "../../kernels/mve/fg_mve.h"

#if defined(__ARM_FEATURE_MVE)

/* The first `count` halves, 0 .. 8, then zeros. */
static FG_INLINE fg_halves fg_load_first_halves(const int16_t *from, int32_t count) {
    return vldrhq_z_s16(from, vctp16q((uint32_t)count));
}

/* `count` bytes, 0 .. 8, sign-extended, each at its own distance from `from`, below 2^16. */
static FG_INLINE fg_halves fg_gather_as_halves(const int8_t *from, fg_halves distances,
                                               int32_t count) {
    return vldrbq_gather_offset_z_s16(from, vreinterpretq_u16_s16(distances),
                                      vctp16q((uint32_t)count));
}

/* `count` halves, 0 .. 8, each at its own index. */
static FG_INLINE fg_halves fg_gather_halves(const int16_t *from, fg_halves indices, int32_t count) {
    return vldrhq_gather_shifted_offset_z_s16(from, vreinterpretq_u16_s16(indices),
                                              vctp16q((uint32_t)count));
}

/* One bit for each of `count` bytes, 16 or fewer: whether it is not 0 in any row. */
static FG_INLINE uint32_t fg_any_bytes(const int8_t *row, int32_t step, int32_t rows,
                                       int32_t count) {
    const mve_pred16_t some = vctp8q((uint32_t)count);
    fg_bytes all = vdupq_n_s8(0);
    for (; rows > 0; --rows) {
        all = vorrq_s8(all, vldrbq_z_s8(row, some));
        row += step;
    }
    return vcmpneq_n_s8(all, 0);
}

static FG_INLINE void fg_store_first_halves(int16_t *to, fg_halves halves, int32_t count) {
    vstrhq_p_s16(to, halves, vctp16q((uint32_t)count));
}

/* a * 2^shift, modulo 2^16; 0 <= shift < 16. */
static FG_INLINE fg_halves fg_shift_half(fg_halves a, int32_t shift) {
    return vshlq_r_s16(a, shift);
}

/* a * b / 2^15 to nearest, ties up; one of the two must not be INT16_MIN. */
static FG_INLINE fg_halves fg_high_mul_halves(fg_halves a, fg_halves b) {
    return vqrdmulhq_s16(a, b);
}

static FG_INLINE fg_words fg_or_words(fg_words a, fg_words b) {
    return vorrq_s32(a, b);
}

static FG_INLINE fg_words fg_and_words(fg_words a, fg_words b) {
    return vandq_s32(a, b);
}

static FG_INLINE fg_words fg_xor_words(fg_words a, fg_words b) {
    return veorq_s32(a, b);
}

static FG_INLINE fg_words fg_min_word(fg_words a, int32_t b) {
    return vminq_s32(a, vdupq_n_s32(b));
}

/* The same of unsigned numbers. */
static FG_INLINE fg_words fg_min_size(fg_words a, uint32_t b) {
    return vreinterpretq_s32_u32(vminq_u32(vreinterpretq_u32_s32(a), vdupq_n_u32(b)));
}

/* |a|, as unsigned numbers. */
static FG_INLINE fg_words fg_size_words(fg_words a) {
    return vabsq_s32(a);
}

/* Unsigned a / 2^shift to nearest, ties up; 0 <= shift < 32. */
static FG_INLINE fg_words fg_round_size_words(fg_words a, int32_t shift) {
    return vreinterpretq_s32_u32(vrshlq_n_u32(vreinterpretq_u32_s32(a), -shift));
}

/* All lanes ORed. */
static FG_INLINE uint32_t fg_or_across(fg_words a) {
    return (uint32_t)(vgetq_lane_s32(a, 0) | vgetq_lane_s32(a, 1) | vgetq_lane_s32(a, 2) |
                      vgetq_lane_s32(a, 3));
}

/* Lanes of `a` where `seen` is neither of the two values, else 0. */
static FG_INLINE fg_words fg_keep_between(fg_words a, fg_words seen, int32_t low, int32_t high) {
    const mve_pred16_t open = vcmpneq_m_n_s32(seen, high, vcmpneq_n_s32(seen, low));
    return vpselq_s32(a, vdupq_n_s32(0), open);
}

/* Lanes of `a` whose bit, 0 .. 3, is set, else 0. */
static FG_INLINE fg_words fg_keep_bits(fg_words a, uint32_t bits) {
    const uint32_t pairs = (bits & 3U) | (bits << 6 & 0x300U);
    const mve_pred16_t open = (mve_pred16_t)(((pairs | pairs << 3) & 0x1111U) * 0xFU);
    return vpselq_s32(a, vdupq_n_s32(0), open);
}

/* Copies the first `count` bytes, 0 .. 16; zeros where no bit is set. */
static FG_INLINE void fg_copy_some_bytes(int8_t *to, const int8_t *from, uint32_t bits,
                                         int32_t count) {
    const mve_pred16_t there = vctp8q((uint32_t)count);
    vstrbq_p_s8(to, vldrbq_z_s8(from, (mve_pred16_t)(bits & there)), there);
}

/* a + b, within what words can hold. */
static FG_INLINE fg_words fg_add_saturating(fg_words a, fg_words b) {
    return vqaddq_s32(a, b);
}

/* The larger one of a, an unsigned number, and |b|. */
static FG_INLINE fg_words fg_larger_size_words(fg_words a, fg_words b) {
    return vreinterpretq_s32_u32(vmaxaq_s32(vreinterpretq_u32_s32(a), b));
}

static FG_INLINE fg_halves fg_larger_size_halves(fg_halves a, fg_halves b) {
    return vreinterpretq_s16_u16(vmaxaq_s16(vreinterpretq_u16_s16(a), b));
}

/* The largest of all lanes, as unsigned numbers. */
static FG_INLINE uint32_t fg_most_size_words(fg_words a) {
    return vmaxvq_u32(0U, vreinterpretq_u32_s32(a));
}

static FG_INLINE uint32_t fg_most_size_halves(fg_halves a) {
    return vmaxvq_u16(0U, vreinterpretq_u16_s16(a));
}

/* Bits 0, 2, 4 and 6 of words that are all the same, a lane for each; bits 1, 3, 5 and 7. */
static FG_INLINE fg_words fg_even_bits(fg_words a) {
    const uint32x4_t bits = {0x01U, 0x04U, 0x10U, 0x40U};
    return vandq_s32(a, vreinterpretq_s32_u32(bits));
}

static FG_INLINE fg_words fg_odd_bits(fg_words a) {
    const uint32x4_t bits = {0x02U, 0x08U, 0x20U, 0x80U};
    return vandq_s32(a, vreinterpretq_s32_u32(bits));
}

/* Four words, each at its own distance from `from`, in bytes; 0 where `open` is. */
static FG_INLINE fg_words fg_gather_open_words(const int32_t *from, fg_words distances,
                                               fg_words open) {
    fg_words loaded;
    __asm__("vpt.i32 ne, %q[open], zr\n\t"
            "vldrwt.u32 %q[loaded], [%[from], %q[distances]]"
            : [loaded] "=&w"(loaded)
            : [open] "w"(open), [from] "r"(from), [distances] "w"(distances)
            : "p0", "memory");
    return loaded;
}

/* The low bits of all halves, each at its own index from `to`. */
static FG_INLINE void fg_scatter_halves(int16_t *to, fg_halves indices, fg_halves halves) {
    vstrhq_scatter_shifted_offset_s16(to, vreinterpretq_u16_s16(indices), halves);
}

/* One bit per lane: set where it is neither of the two values. */
static FG_INLINE uint32_t fg_bits_between(fg_bytes a, int8_t low, int8_t high) {
    return vcmpneq_m_n_s8(a, high, vcmpneq_n_s8(a, low));
}

/* Four vectors of `count` bytes, 1 or more, with one of halves. */
static FG_INLINE fg_words fg_dot_four_halves(const int8_t *const x[4], const int16_t *y,
                                             int32_t count) {
    fg_words sums;
    fg_halves factor;
    fg_halves value0;
    fg_halves value1;
    const int8_t *x0 = x[0];
    const int8_t *x1 = x[1];
    const int8_t *x2 = x[2];
    const int8_t *x3 = x[3];
    int32_t sum0 = 0;
    int32_t sum1 = 0;
    int32_t sum2 = 0;
    int32_t sum3 = 0;
    __asm__(
        "dlstp.16 lr, %[count]\n"
        "1:\n\t"
        "vldrh.16 %q[factor], [%[y]], #16\n\t"
        "vldrb.s16 %q[value0], [%[x0]], #8\n\t"
        "vldrb.s16 %q[value1], [%[x1]], #8\n\t"
        "vmladava.s16 %[sum0], %q[value0], %q[factor]\n\t"
        "vldrb.s16 %q[value0], [%[x2]], #8\n\t"
        "vmladava.s16 %[sum1], %q[value1], %q[factor]\n\t"
        "vldrb.s16 %q[value1], [%[x3]], #8\n\t"
        "vmladava.s16 %[sum2], %q[value0], %q[factor]\n\t"
        "vmladava.s16 %[sum3], %q[value1], %q[factor]\n\t"
        "letp lr, 1b\n\t"
        "vmov %q[sums][2], %q[sums][0], %[sum0], %[sum2]\n\t"
        "vmov %q[sums][3], %q[sums][1], %[sum1], %[sum3]"
        : [sums] "=w"(sums), [factor] "=&w"(factor), [value0] "=&w"(value0), [value1] "=&w"(value1),
          [sum0] "+Te"(sum0), [sum1] "+Te"(sum1), [sum2] "+Te"(sum2), [sum3] "+Te"(sum3),
          [x0] "+l"(x0), [x1] "+l"(x1), [x2] "+l"(x2), [x3] "+l"(x3), [y] "+r"(y)
        : [count] "r"(count)
        : "lr", "memory");
    return sums;
}

static FG_INLINE fg_words fg_multiply_words(fg_words a, fg_words b) {
    return vmulq_s32(a, b);
}

/* The largest magnitude in both. */
static FG_INLINE uint32_t fg_largest_size(fg_words a, fg_words b) {
    return vmaxavq_s32(vmaxavq_s32(0U, a), b);
}

/* a * b / 2^32, rounded down. */
static FG_INLINE fg_words fg_upper_mul_word(fg_words a, int32_t b) {
    return vmulhq_s32(a, vdupq_n_s32(b));
}

static FG_INLINE fg_words fg_upper_mul_words(fg_words a, fg_words b) {
    return vmulhq_s32(a, b);
}

/* a / 2^shift, rounded down, for a constant shift, 1 .. 31. */
#define fg_shift_right_words(words, shift) vshrq_n_s32(words, shift)

/* fg_mix32() with its two factors. */
static FG_INLINE fg_words fg_mix_words(fg_words a, uint32_t first, uint32_t second) {
    uint32x4_t x = vreinterpretq_u32_s32(a);
    x = veorq_u32(x, vshrq_n_u32(x, 16));
    x = vmulq_n_u32(x, first);
    x = veorq_u32(x, vshrq_n_u32(x, 15));
    x = vmulq_n_u32(x, second);
    x = veorq_u32(x, vshrq_n_u32(x, 16));
    return vreinterpretq_s32_u32(x);
}

/* The low halves of all words, the high ones, as unsigned numbers. */
static FG_INLINE fg_words fg_lower_sizes(fg_words a) {
    return vreinterpretq_s32_u32(vmovlbq_u16(vreinterpretq_u16_s32(a)));
}

static FG_INLINE fg_words fg_upper_sizes(fg_words a) {
    return vreinterpretq_s32_u32(vmovltq_u16(vreinterpretq_u16_s32(a)));
}

/* (a + b) / 2^16, rounded down. */
static FG_INLINE fg_words fg_change_of(fg_words a, fg_words b) {
    return vshrq_n_s32(vaddq_s32(a, b), 16);
}

static FG_INLINE fg_halves fg_load_halves(const int16_t *from) {
    return vldrhq_s16(from);
}

static FG_INLINE void fg_store_halves(int16_t *to, fg_halves halves) {
    vstrhq_s16(to, halves);
}

/* Subtracts from neighbours, within +-limit. */
static FG_INLINE fg_halves fg_subtract_pairs_from(fg_halves a, fg_word_pair b, int32_t limit) {
    const fg_words even = vsubq_s32(vmovlbq_s16(a), b.even);
    const fg_words odd = vsubq_s32(vmovltq_s16(a), b.odd);
    const fg_halves both = vqmovntq_s32(vqmovnbq_s32(a, even), odd);
    return vmaxq_s16(vminq_s16(both, vdupq_n_s16((int16_t)limit)), vdupq_n_s16((int16_t)-limit));
}

/* (a + 128) / 256, rounded down, of all halves. */
static FG_INLINE void fg_store_rounded_upper_bytes(int8_t *to, fg_halves a) {
    vstrbq_s16(to, vrshrq_n_s16(a, 8));
}

#else

#include "train_mve_emulated.h"

#endif

#endif
