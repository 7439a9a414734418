/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_SUMS_MVE_H
#define FG_SUMS_MVE_H

/* Inner products by the block: sums of some channels at some pixels, [channel][FG_SUMS_PIXELS].
 * Those of six or three pixels are in registers at a time, and one instruction stores them. */

#include "fg_mve.h"

enum {
    FG_BLOCK_CHANNELS = 8,
    FG_SIX_PIXELS = 6,
    FG_THREE_PIXELS = 3,
    FG_SUMS_PIXELS = 32, /* of a channel, one after the other */
    FG_BLOCK_SUMS = FG_BLOCK_CHANNELS * FG_SUMS_PIXELS,
};

#if defined(__ARM_FEATURE_MVE)

/* Sums of six values of up to 16 bytes with each of `channels` factors, one after the other. What
 * the values have beyond `count` bytes is zero. */
static FG_INLINE void fg_dot_six(const fg_bytes x[FG_SIX_PIXELS], const int8_t *y, int32_t count,
                                 int32_t channels, int32_t *sums) {
    fg_bytes factor;
    __asm__ volatile("vctp.8 %[count]\n\t"
                     "dls lr, %[channels]\n"
                     "1:\n\t"
                     "vpst\n\t"
                     "vldrbt.8 %q[factor], [%[y]]\n\t"
                     "vmladav.s8 r0, %q[x0], %q[factor]\n\t"
                     "vmladav.s8 r2, %q[x1], %q[factor]\n\t"
                     "vmladav.s8 r4, %q[x2], %q[factor]\n\t"
                     "vmladav.s8 r6, %q[x3], %q[factor]\n\t"
                     "vmladav.s8 r8, %q[x4], %q[factor]\n\t"
                     "vmladav.s8 r10, %q[x5], %q[factor]\n\t"
                     "add %[y], %[y], %[count]\n\t"
                     "stm %[sums], {r0, r2, r4, r6, r8, r10}\n\t"
                     "add %[sums], #128\n\t"
                     "le lr, 1b"
                     : [factor] "=&w"(factor), [y] "+r"(y), [sums] "+r"(sums)
                     : [x0] "w"(x[0]), [x1] "w"(x[1]), [x2] "w"(x[2]), [x3] "w"(x[3]),
                       [x4] "w"(x[4]), [x5] "w"(x[5]), [count] "r"(count), [channels] "r"(channels)
                     : "r0", "r2", "r4", "r6", "r8", "r10", "lr", "p0", "memory");
}

/* Sums of three values of 17 to 32 bytes, each in two parts, with each of `channels` factors. */
static FG_INLINE void fg_dot_three(const fg_bytes x[2 * FG_THREE_PIXELS], const int8_t *y,
                                   int32_t count, int32_t channels, int32_t *sums) {
    fg_bytes factor;
    __asm__ volatile("vctp.8 %[rest]\n\t"
                     "dls lr, %[channels]\n"
                     "1:\n\t"
                     "vldrb.8 %q[factor], [%[y]]\n\t"
                     "vmladav.s8 r0, %q[x0], %q[factor]\n\t"
                     "vmladav.s8 r2, %q[x1], %q[factor]\n\t"
                     "vmladav.s8 r4, %q[x2], %q[factor]\n\t"
                     "vpst\n\t"
                     "vldrbt.8 %q[factor], [%[y], #16]\n\t"
                     "vmladava.s8 r0, %q[x3], %q[factor]\n\t"
                     "vmladava.s8 r2, %q[x4], %q[factor]\n\t"
                     "vmladava.s8 r4, %q[x5], %q[factor]\n\t"
                     "add %[y], %[y], %[count]\n\t"
                     "stm %[sums], {r0, r2, r4}\n\t"
                     "add %[sums], #128\n\t"
                     "le lr, 1b"
                     : [factor] "=&w"(factor), [y] "+r"(y), [sums] "+r"(sums)
                     : [x0] "w"(x[0]), [x1] "w"(x[1]), [x2] "w"(x[2]), [x3] "w"(x[3]),
                       [x4] "w"(x[4]), [x5] "w"(x[5]), [count] "r"(count),
                       [rest] "r"(count - FG_BYTE_LANES), [channels] "r"(channels)
                     : "r0", "r2", "r4", "lr", "p0", "memory");
}

/* What fg_dot_pairs() reads, in this order; the number of pairs is used up. */
typedef struct fg_pairs {
    const int8_t *x[FG_THREE_PIXELS];
    int32_t left; /* bytes beyond the first 16 */
    int32_t next; /* from a pair's end, in whole vectors, to the next pair */
    int32_t count;
    const int8_t *y[2];
    int32_t *sums;
} fg_pairs;

/* Sums of three values of more than 16 bytes with pairs of factors. There is no register to spare.
 */
static FG_INLINE void fg_dot_pairs(fg_pairs *pairs) {
    register fg_pairs *of __asm__("r12") = pairs;
    __asm__ volatile("ldr r7, [%[of], #24]\n\t"
                     "ldr r9, [%[of], #28]\n\t"
                     "ldr r11, [%[of], #32]\n"
                     "2:\n\t"
                     "ldm %[of], {r1, r3, r5}\n\t"
                     "ldr lr, [%[of], #12]\n\t"
                     "vldrb.8 q0, [r7], #16\n\t"
                     "vldrb.8 q1, [r1], #16\n\t"
                     "vldrb.8 q2, [r3], #16\n\t"
                     "vldrb.8 q3, [r5], #16\n\t"
                     "vmladav.s8 r0, q1, q0\n\t"
                     "vmladav.s8 r2, q2, q0\n\t"
                     "vmladav.s8 r4, q3, q0\n\t"
                     "vldrb.8 q0, [r9], #16\n\t"
                     "vmladav.s8 r6, q1, q0\n\t"
                     "vmladav.s8 r8, q2, q0\n\t"
                     "vmladav.s8 r10, q3, q0\n\t"
                     "dlstp.8 lr, lr\n"
                     "1:\n\t"
                     "vldrb.8 q0, [r7], #16\n\t"
                     "vldrb.8 q1, [r1], #16\n\t"
                     "vldrb.8 q2, [r3], #16\n\t"
                     "vmladava.s8 r0, q1, q0\n\t"
                     "vldrb.8 q3, [r5], #16\n\t"
                     "vmladava.s8 r2, q2, q0\n\t"
                     "vmladava.s8 r4, q3, q0\n\t"
                     "vldrb.8 q0, [r9], #16\n\t"
                     "vmladava.s8 r6, q1, q0\n\t"
                     "vmladava.s8 r8, q2, q0\n\t"
                     "vmladava.s8 r10, q3, q0\n\t"
                     "letp lr, 1b\n\t"
                     "ldrd r1, r3, [%[of], #16]\n\t"
                     "stm r11, {r0, r2, r4}\n\t"
                     "add r7, r7, r1\n\t"
                     "add r9, r9, r1\n\t"
                     "add r11, #128\n\t"
                     "stm r11, {r6, r8, r10}\n\t"
                     "add r11, #128\n\t"
                     "subs r3, #1\n\t"
                     "str r3, [%[of], #20]\n\t"
                     "bne 2b"
                     :
                     : [of] "r"(of)
                     : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11",
                       "lr", "q0", "q1", "q2", "q3", "cc", "memory");
}

/* One window's inner product; then on to the next one. */
#define FG_WINDOW_1(sum, next)                                                                     \
    "vldrb.8 %q[value], [%[x]]\n\t"                                                                \
    "add %[x], %[x], %[" next "]\n\t"                                                              \
    "vmladav.s8 " sum ", %q[value], %q[factor0]\n\t"
#define FG_WINDOW_2(sum, next)                                                                     \
    "vldrb.8 %q[value], [%[x]]\n\t"                                                                \
    "vmladav.s8 " sum ", %q[value], %q[factor0]\n\t"                                               \
    "vldrb.8 %q[value], [%[x], #16]\n\t"                                                           \
    "add %[x], %[x], %[" next "]\n\t"                                                              \
    "vmladava.s8 " sum ", %q[value], %q[factor1]\n\t"
#define FG_WINDOW_4(sum, next)                                                                     \
    "vldrb.8 %q[value], [%[x]]\n\t"                                                                \
    "vmladav.s8 " sum ", %q[value], %q[factor0]\n\t"                                               \
    "vldrb.8 %q[value], [%[x], #16]\n\t"                                                           \
    "vmladava.s8 " sum ", %q[value], %q[factor1]\n\t"                                              \
    "vldrb.8 %q[value], [%[x], #32]\n\t"                                                           \
    "vmladava.s8 " sum ", %q[value], %q[factor2]\n\t"                                              \
    "vldrb.8 %q[value], [%[x], #48]\n\t"                                                           \
    "add %[x], %[x], %[" next "]\n\t"                                                              \
    "vmladava.s8 " sum ", %q[value], %q[factor3]\n\t"

/* Of `channels` planes, `pitch` bytes apart, sums of some windows of 16, 32 or 64 bytes, `step`
 * bytes apart, with a filter for each plane. */
static FG_INLINE void fg_dot_six_windows(const int8_t *x, int32_t step, int32_t pitch,
                                         const int8_t *filters, int32_t channels, int32_t *sums) {
    fg_bytes value;
    fg_bytes factor0;
    __asm__ volatile("dls lr, %[channels]\n"
                     "1:\n\t"
                     "vldrb.8 %q[factor0], [%[filters]], #16\n\t" FG_WINDOW_1("r0", "step")
                         FG_WINDOW_1("r2", "step") FG_WINDOW_1("r4", "step")
                             FG_WINDOW_1("r6", "step") FG_WINDOW_1("r8", "step") FG_WINDOW_1(
                                 "r10", "back") "stm %[sums], {r0, r2, r4, r6, r8, r10}\n\t"
                                                "add %[sums], #128\n\t"
                                                "le lr, 1b"
                     : [value] "=&w"(value), [factor0] "=&w"(factor0), [x] "+r"(x),
                       [filters] "+r"(filters), [sums] "+r"(sums)
                     : [step] "r"(step), [back] "r"(pitch - 5 * step), [channels] "r"(channels)
                     : "r0", "r2", "r4", "r6", "r8", "r10", "lr", "memory");
}

static FG_INLINE void fg_dot_three_windows(const int8_t *x, int32_t step, int32_t pitch,
                                           const int8_t *filters, int32_t channels, int32_t *sums) {
    fg_bytes value;
    fg_bytes factor0;
    __asm__ volatile("dls lr, %[channels]\n"
                     "1:\n\t"
                     "vldrb.8 %q[factor0], [%[filters]], #16\n\t" FG_WINDOW_1("r0", "step")
                         FG_WINDOW_1("r2", "step")
                             FG_WINDOW_1("r4", "back") "stm %[sums], {r0, r2, r4}\n\t"
                                                       "add %[sums], #128\n\t"
                                                       "le lr, 1b"
                     : [value] "=&w"(value), [factor0] "=&w"(factor0), [x] "+r"(x),
                       [filters] "+r"(filters), [sums] "+r"(sums)
                     : [step] "r"(step), [back] "r"(pitch - 2 * step), [channels] "r"(channels)
                     : "r0", "r2", "r4", "lr", "memory");
}

static FG_INLINE void fg_dot_six_wide_windows(const int8_t *x, int32_t step, int32_t pitch,
                                              const int8_t *filters, int32_t channels,
                                              int32_t *sums) {
    fg_bytes value;
    fg_bytes factor0;
    fg_bytes factor1;
    __asm__ volatile("dls lr, %[channels]\n"
                     "1:\n\t"
                     "vldrb.8 %q[factor0], [%[filters]], #16\n\t"
                     "vldrb.8 %q[factor1], [%[filters]], #16\n\t" FG_WINDOW_2("r0", "step")
                         FG_WINDOW_2("r2", "step") FG_WINDOW_2("r4", "step")
                             FG_WINDOW_2("r6", "step") FG_WINDOW_2("r8", "step") FG_WINDOW_2(
                                 "r10", "back") "stm %[sums], {r0, r2, r4, r6, r8, r10}\n\t"
                                                "add %[sums], #128\n\t"
                                                "le lr, 1b"
                     : [value] "=&w"(value), [factor0] "=&w"(factor0), [factor1] "=&w"(factor1),
                       [x] "+r"(x), [filters] "+r"(filters), [sums] "+r"(sums)
                     : [step] "r"(step), [back] "r"(pitch - 5 * step), [channels] "r"(channels)
                     : "r0", "r2", "r4", "r6", "r8", "r10", "lr", "memory");
}

static FG_INLINE void fg_dot_three_wide_windows(const int8_t *x, int32_t step, int32_t pitch,
                                                const int8_t *filters, int32_t channels,
                                                int32_t *sums) {
    fg_bytes value;
    fg_bytes factor0;
    fg_bytes factor1;
    __asm__ volatile("dls lr, %[channels]\n"
                     "1:\n\t"
                     "vldrb.8 %q[factor0], [%[filters]], #16\n\t"
                     "vldrb.8 %q[factor1], [%[filters]], #16\n\t" FG_WINDOW_2("r0", "step")
                         FG_WINDOW_2("r2", "step")
                             FG_WINDOW_2("r4", "back") "stm %[sums], {r0, r2, r4}\n\t"
                                                       "add %[sums], #128\n\t"
                                                       "le lr, 1b"
                     : [value] "=&w"(value), [factor0] "=&w"(factor0), [factor1] "=&w"(factor1),
                       [x] "+r"(x), [filters] "+r"(filters), [sums] "+r"(sums)
                     : [step] "r"(step), [back] "r"(pitch - 2 * step), [channels] "r"(channels)
                     : "r0", "r2", "r4", "lr", "memory");
}

static FG_INLINE void fg_dot_six_long_windows(const int8_t *x, int32_t step, int32_t pitch,
                                              const int8_t *filters, int32_t channels,
                                              int32_t *sums) {
    fg_bytes value;
    fg_bytes factor0;
    fg_bytes factor1;
    fg_bytes factor2;
    fg_bytes factor3;
    __asm__ volatile("dls lr, %[channels]\n"
                     "1:\n\t"
                     "vldrb.8 %q[factor0], [%[filters]], #16\n\t"
                     "vldrb.8 %q[factor1], [%[filters]], #16\n\t"
                     "vldrb.8 %q[factor2], [%[filters]], #16\n\t"
                     "vldrb.8 %q[factor3], [%[filters]], #16\n\t" FG_WINDOW_4("r0", "step")
                         FG_WINDOW_4("r2", "step") FG_WINDOW_4("r4", "step")
                             FG_WINDOW_4("r6", "step") FG_WINDOW_4("r8", "step") FG_WINDOW_4(
                                 "r10", "back") "stm %[sums], {r0, r2, r4, r6, r8, r10}\n\t"
                                                "add %[sums], #128\n\t"
                                                "le lr, 1b"
                     : [value] "=&w"(value), [factor0] "=&w"(factor0), [factor1] "=&w"(factor1),
                       [factor2] "=&w"(factor2), [factor3] "=&w"(factor3), [x] "+r"(x),
                       [filters] "+r"(filters), [sums] "+r"(sums)
                     : [step] "r"(step), [back] "r"(pitch - 5 * step), [channels] "r"(channels)
                     : "r0", "r2", "r4", "r6", "r8", "r10", "lr", "memory");
}

static FG_INLINE void fg_dot_three_long_windows(const int8_t *x, int32_t step, int32_t pitch,
                                                const int8_t *filters, int32_t channels,
                                                int32_t *sums) {
    fg_bytes value;
    fg_bytes factor0;
    fg_bytes factor1;
    fg_bytes factor2;
    fg_bytes factor3;
    __asm__ volatile("dls lr, %[channels]\n"
                     "1:\n\t"
                     "vldrb.8 %q[factor0], [%[filters]], #16\n\t"
                     "vldrb.8 %q[factor1], [%[filters]], #16\n\t"
                     "vldrb.8 %q[factor2], [%[filters]], #16\n\t"
                     "vldrb.8 %q[factor3], [%[filters]], #16\n\t" FG_WINDOW_4("r0", "step")
                         FG_WINDOW_4("r2", "step")
                             FG_WINDOW_4("r4", "back") "stm %[sums], {r0, r2, r4}\n\t"
                                                       "add %[sums], #128\n\t"
                                                       "le lr, 1b"
                     : [value] "=&w"(value), [factor0] "=&w"(factor0), [factor1] "=&w"(factor1),
                       [factor2] "=&w"(factor2), [factor3] "=&w"(factor3), [x] "+r"(x),
                       [filters] "+r"(filters), [sums] "+r"(sums)
                     : [step] "r"(step), [back] "r"(pitch - 2 * step), [channels] "r"(channels)
                     : "r0", "r2", "r4", "lr", "memory");
}

#undef FG_WINDOW_1
#undef FG_WINDOW_2
#undef FG_WINDOW_4

/* Six windows of 16 bytes, three bytes apart: three rows high, leaving no column out. */
static FG_INLINE void fg_dot_six_neighbours(const int8_t *x, int32_t pitch, const int8_t *filters,
                                            int32_t channels, int32_t *sums) {
    fg_bytes value;
    fg_bytes factor;
    __asm__ volatile("dls lr, %[channels]\n"
                     "1:\n\t"
                     "vldrb.8 %q[factor], [%[filters]], #16\n\t"
                     "vldrb.8 %q[value], [%[x]]\n\t"
                     "vmladav.s8 r0, %q[value], %q[factor]\n\t"
                     "vldrb.8 %q[value], [%[x], #3]\n\t"
                     "vmladav.s8 r2, %q[value], %q[factor]\n\t"
                     "vldrb.8 %q[value], [%[x], #6]\n\t"
                     "vmladav.s8 r4, %q[value], %q[factor]\n\t"
                     "vldrb.8 %q[value], [%[x], #9]\n\t"
                     "vmladav.s8 r6, %q[value], %q[factor]\n\t"
                     "vldrb.8 %q[value], [%[x], #12]\n\t"
                     "vmladav.s8 r8, %q[value], %q[factor]\n\t"
                     "vldrb.8 %q[value], [%[x], #15]\n\t"
                     "add %[x], %[x], %[pitch]\n\t"
                     "vmladav.s8 r10, %q[value], %q[factor]\n\t"
                     "stm %[sums], {r0, r2, r4, r6, r8, r10}\n\t"
                     "add %[sums], #128\n\t"
                     "le lr, 1b"
                     : [value] "=&w"(value), [factor] "=&w"(factor), [x] "+r"(x),
                       [filters] "+r"(filters), [sums] "+r"(sums)
                     : [pitch] "r"(pitch), [channels] "r"(channels)
                     : "r0", "r2", "r4", "r6", "r8", "r10", "lr", "memory");
}

/* One inner product of `count` bytes, 1 or more. */
static FG_INLINE int32_t fg_dot_one(const int8_t *x, const int8_t *y, int32_t count) {
    fg_bytes value;
    fg_bytes factor;
    int32_t sum = 0;
    __asm__(
        "dlstp.8 lr, %[count]\n"
        "1:\n\t"
        "vldrb.8 %q[value], [%[x]], #16\n\t"
        "vldrb.8 %q[factor], [%[y]], #16\n\t"
        "vmladava.s8 %[sum], %q[value], %q[factor]\n\t"
        "letp lr, 1b"
        : [value] "=&w"(value), [factor] "=&w"(factor), [sum] "+Te"(sum), [x] "+r"(x), [y] "+r"(y)
        : [count] "r"(count)
        : "lr", "memory");
    return sum;
}

/* Sums of three values of more than 16 bytes with each of `channels` factors, one after the other.
 */
static FG_INLINE void fg_dot_long(const int8_t *const x[FG_THREE_PIXELS], const int8_t *y,
                                  int32_t count, int32_t channels, int32_t *sums) {
    const int32_t whole = (count + FG_BYTE_LANES - 1) / FG_BYTE_LANES * FG_BYTE_LANES;
    fg_pairs pairs = {.x = {x[0], x[1], x[2]},
                      .left = count - FG_BYTE_LANES,
                      .next = 2 * count - whole,
                      .count = channels / 2,
                      .y = {y, y + count},
                      .sums = sums};
    if (pairs.count != 0) {
        fg_dot_pairs(&pairs);
    }
    if (channels % 2 != 0) {
        /* The last one twice: there is room for its sums, and nothing behind it. */
        pairs.count = 1;
        pairs.y[0] = y + (channels - 1) * count;
        pairs.y[1] = pairs.y[0];
        pairs.sums = sums + (channels - 1) * FG_SUMS_PIXELS;
        fg_dot_pairs(&pairs);
    }
}

#else

#include "fg_sums_mve_emulated.h"

#endif

#endif
