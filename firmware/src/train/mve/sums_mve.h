/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_SUMS_MVE_H
#define FG_TRAIN_SUMS_MVE_H

/* Inner products of halves by the block, as in fg_sums_mve.h. */

#include "../../kernels/mve/fg_sums_mve.h"
#include "train_mve.h"

#if defined(__ARM_FEATURE_MVE)

/* One window's inner product; then on to the next one. */
#define FG_WINDOW_2(sum, next)                                                                     \
    "vldrh.16 %q[value], [%[x]]\n\t"                                                               \
    "vmladav.s16 " sum ", %q[value], %q[factor0]\n\t"                                              \
    "vldrh.16 %q[value], [%[x], #16]\n\t"                                                          \
    "add %[x], %[x], %[" next "]\n\t"                                                              \
    "vmladava.s16 " sum ", %q[value], %q[factor1]\n\t"
#define FG_WINDOW_4(sum, next)                                                                     \
    "vldrh.16 %q[value], [%[x]]\n\t"                                                               \
    "vmladav.s16 " sum ", %q[value], %q[factor0]\n\t"                                              \
    "vldrh.16 %q[value], [%[x], #16]\n\t"                                                          \
    "vmladava.s16 " sum ", %q[value], %q[factor1]\n\t"                                             \
    "vldrh.16 %q[value], [%[x], #32]\n\t"                                                          \
    "vmladava.s16 " sum ", %q[value], %q[factor2]\n\t"                                             \
    "vldrh.16 %q[value], [%[x], #48]\n\t"                                                          \
    "add %[x], %[x], %[" next "]\n\t"                                                              \
    "vmladava.s16 " sum ", %q[value], %q[factor3]\n\t"
#define FG_WINDOW_7(sum, next)                                                                     \
    "vldrh.16 %q[value], [%[x]]\n\t"                                                               \
    "vmladav.s16 " sum ", %q[value], %q[factor0]\n\t"                                              \
    "vldrh.16 %q[value], [%[x], #16]\n\t"                                                          \
    "vmladava.s16 " sum ", %q[value], %q[factor1]\n\t"                                             \
    "vldrh.16 %q[value], [%[x], #32]\n\t"                                                          \
    "vmladava.s16 " sum ", %q[value], %q[factor2]\n\t"                                             \
    "vldrh.16 %q[value], [%[x], #48]\n\t"                                                          \
    "vmladava.s16 " sum ", %q[value], %q[factor3]\n\t"                                             \
    "vldrh.16 %q[value], [%[x], #64]\n\t"                                                          \
    "vmladava.s16 " sum ", %q[value], %q[factor4]\n\t"                                             \
    "vldrh.16 %q[value], [%[x], #80]\n\t"                                                          \
    "vmladava.s16 " sum ", %q[value], %q[factor5]\n\t"                                             \
    "vldrh.16 %q[value], [%[x], #96]\n\t"                                                          \
    "add %[x], %[x], %[" next "]\n\t"                                                              \
    "vmladava.s16 " sum ", %q[value], %q[factor6]\n\t"

/* Of `channels` planes, `pitch` halves apart, sums of some windows of 16, 32 or 56 halves, `step`
 * halves apart, with a filter for each plane. */
static FG_INLINE void fg_dot_six_half_windows(const int16_t *x, int32_t step, int32_t pitch,
                                              const int16_t *filters, int32_t channels,
                                              int32_t *sums) {
    fg_halves value;
    fg_halves factor0;
    fg_halves factor1;
    __asm__ volatile(
        "dls lr, %[channels]\n"
        "1:\n\t"
        "vldrh.16 %q[factor0], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor1], [%[filters]], #16\n\t" FG_WINDOW_2("r0", "step")
            FG_WINDOW_2("r2", "step") FG_WINDOW_2("r4", "step") FG_WINDOW_2("r6", "step")
                FG_WINDOW_2("r8", "step")
                    FG_WINDOW_2("r10", "back") "stm %[sums], {r0, r2, r4, r6, r8, r10}\n\t"
                                               "add %[sums], #128\n\t"
                                               "le lr, 1b"
        : [value] "=&w"(value), [factor0] "=&w"(factor0), [factor1] "=&w"(factor1), [x] "+r"(x),
          [filters] "+r"(filters), [sums] "+r"(sums)
        : [step] "r"(2 * step), [back] "r"(2 * (pitch - 5 * step)), [channels] "r"(channels)
        : "r0", "r2", "r4", "r6", "r8", "r10", "lr", "memory");
}

static FG_INLINE void fg_dot_three_half_windows(const int16_t *x, int32_t step, int32_t pitch,
                                                const int16_t *filters, int32_t channels,
                                                int32_t *sums) {
    fg_halves value;
    fg_halves factor0;
    fg_halves factor1;
    __asm__ volatile(
        "dls lr, %[channels]\n"
        "1:\n\t"
        "vldrh.16 %q[factor0], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor1], [%[filters]], #16\n\t" FG_WINDOW_2("r0", "step")
            FG_WINDOW_2("r2", "step") FG_WINDOW_2("r4", "back") "stm %[sums], {r0, r2, r4}\n\t"
                                                                "add %[sums], #128\n\t"
                                                                "le lr, 1b"
        : [value] "=&w"(value), [factor0] "=&w"(factor0), [factor1] "=&w"(factor1), [x] "+r"(x),
          [filters] "+r"(filters), [sums] "+r"(sums)
        : [step] "r"(2 * step), [back] "r"(2 * (pitch - 2 * step)), [channels] "r"(channels)
        : "r0", "r2", "r4", "lr", "memory");
}

static FG_INLINE void fg_dot_six_wide_half_windows(const int16_t *x, int32_t step, int32_t pitch,
                                                   const int16_t *filters, int32_t channels,
                                                   int32_t *sums) {
    fg_halves value;
    fg_halves factor0;
    fg_halves factor1;
    fg_halves factor2;
    fg_halves factor3;
    __asm__ volatile(
        "dls lr, %[channels]\n"
        "1:\n\t"
        "vldrh.16 %q[factor0], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor1], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor2], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor3], [%[filters]], #16\n\t" FG_WINDOW_4("r0", "step")
            FG_WINDOW_4("r2", "step") FG_WINDOW_4("r4", "step") FG_WINDOW_4("r6", "step")
                FG_WINDOW_4("r8", "step")
                    FG_WINDOW_4("r10", "back") "stm %[sums], {r0, r2, r4, r6, r8, r10}\n\t"
                                               "add %[sums], #128\n\t"
                                               "le lr, 1b"
        : [value] "=&w"(value), [factor0] "=&w"(factor0), [factor1] "=&w"(factor1),
          [factor2] "=&w"(factor2), [factor3] "=&w"(factor3), [x] "+r"(x), [filters] "+r"(filters),
          [sums] "+r"(sums)
        : [step] "r"(2 * step), [back] "r"(2 * (pitch - 5 * step)), [channels] "r"(channels)
        : "r0", "r2", "r4", "r6", "r8", "r10", "lr", "memory");
}

static FG_INLINE void fg_dot_three_wide_half_windows(const int16_t *x, int32_t step, int32_t pitch,
                                                     const int16_t *filters, int32_t channels,
                                                     int32_t *sums) {
    fg_halves value;
    fg_halves factor0;
    fg_halves factor1;
    fg_halves factor2;
    fg_halves factor3;
    __asm__ volatile(
        "dls lr, %[channels]\n"
        "1:\n\t"
        "vldrh.16 %q[factor0], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor1], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor2], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor3], [%[filters]], #16\n\t" FG_WINDOW_4("r0", "step")
            FG_WINDOW_4("r2", "step") FG_WINDOW_4("r4", "back") "stm %[sums], {r0, r2, r4}\n\t"
                                                                "add %[sums], #128\n\t"
                                                                "le lr, 1b"
        : [value] "=&w"(value), [factor0] "=&w"(factor0), [factor1] "=&w"(factor1),
          [factor2] "=&w"(factor2), [factor3] "=&w"(factor3), [x] "+r"(x), [filters] "+r"(filters),
          [sums] "+r"(sums)
        : [step] "r"(2 * step), [back] "r"(2 * (pitch - 2 * step)), [channels] "r"(channels)
        : "r0", "r2", "r4", "lr", "memory");
}

static FG_INLINE void fg_dot_six_long_half_windows(const int16_t *x, int32_t step, int32_t pitch,
                                                   const int16_t *filters, int32_t channels,
                                                   int32_t *sums) {
    fg_halves value;
    fg_halves factor0;
    fg_halves factor1;
    fg_halves factor2;
    fg_halves factor3;
    fg_halves factor4;
    fg_halves factor5;
    fg_halves factor6;
    __asm__ volatile(
        "dls lr, %[channels]\n"
        "1:\n\t"
        "vldrh.16 %q[factor0], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor1], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor2], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor3], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor4], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor5], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor6], [%[filters]], #16\n\t" FG_WINDOW_7("r0", "step")
            FG_WINDOW_7("r2", "step") FG_WINDOW_7("r4", "step") FG_WINDOW_7("r6", "step")
                FG_WINDOW_7("r8", "step")
                    FG_WINDOW_7("r10", "back") "stm %[sums], {r0, r2, r4, r6, r8, r10}\n\t"
                                               "add %[sums], #128\n\t"
                                               "le lr, 1b"
        : [value] "=&w"(value), [factor0] "=&w"(factor0), [factor1] "=&w"(factor1),
          [factor2] "=&w"(factor2), [factor3] "=&w"(factor3), [factor4] "=&w"(factor4),
          [factor5] "=&w"(factor5), [factor6] "=&w"(factor6), [x] "+r"(x), [filters] "+r"(filters),
          [sums] "+r"(sums)
        : [step] "r"(2 * step), [back] "r"(2 * (pitch - 5 * step)), [channels] "r"(channels)
        : "r0", "r2", "r4", "r6", "r8", "r10", "lr", "memory");
}

static FG_INLINE void fg_dot_three_long_half_windows(const int16_t *x, int32_t step, int32_t pitch,
                                                     const int16_t *filters, int32_t channels,
                                                     int32_t *sums) {
    fg_halves value;
    fg_halves factor0;
    fg_halves factor1;
    fg_halves factor2;
    fg_halves factor3;
    fg_halves factor4;
    fg_halves factor5;
    fg_halves factor6;
    __asm__ volatile(
        "dls lr, %[channels]\n"
        "1:\n\t"
        "vldrh.16 %q[factor0], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor1], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor2], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor3], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor4], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor5], [%[filters]], #16\n\t"
        "vldrh.16 %q[factor6], [%[filters]], #16\n\t" FG_WINDOW_7("r0", "step")
            FG_WINDOW_7("r2", "step") FG_WINDOW_7("r4", "back") "stm %[sums], {r0, r2, r4}\n\t"
                                                                "add %[sums], #128\n\t"
                                                                "le lr, 1b"
        : [value] "=&w"(value), [factor0] "=&w"(factor0), [factor1] "=&w"(factor1),
          [factor2] "=&w"(factor2), [factor3] "=&w"(factor3), [factor4] "=&w"(factor4),
          [factor5] "=&w"(factor5), [factor6] "=&w"(factor6), [x] "+r"(x), [filters] "+r"(filters),
          [sums] "+r"(sums)
        : [step] "r"(2 * step), [back] "r"(2 * (pitch - 2 * step)), [channels] "r"(channels)
        : "r0", "r2", "r4", "lr", "memory");
}

#undef FG_WINDOW_2
#undef FG_WINDOW_4
#undef FG_WINDOW_7

/* What fg_dot_half_pairs() reads, in this order; the number of pairs is used up. */
typedef struct fg_half_pairs {
    const int16_t *x[FG_THREE_PIXELS];
    int32_t left; /* beyond the first 8 */
    int32_t next; /* bytes from a pair's end, in whole vectors, to the next pair */
    int32_t count;
    const int8_t *y[2];
    int32_t *sums;
} fg_half_pairs;

/* Sums of three vectors of 8 halves or more with pairs of vectors of bytes. There is no register to
 * spare. */
static FG_INLINE void fg_dot_half_pairs(fg_half_pairs *pairs) {
    register fg_half_pairs *of __asm__("r12") = pairs;
    __asm__ volatile("ldr r7, [%[of], #24]\n\t"
                     "ldr r5, [%[of], #28]\n\t"
                     "ldr r11, [%[of], #32]\n"
                     "2:\n\t"
                     "ldm %[of], {r1, r3, r9}\n\t"
                     "ldr lr, [%[of], #12]\n\t"
                     "vldrb.s16 q0, [r7], #8\n\t"
                     "vldrh.16 q1, [r1], #16\n\t"
                     "vldrh.16 q2, [r3], #16\n\t"
                     "vldrh.16 q3, [r9], #16\n\t"
                     "vmladav.s16 r0, q1, q0\n\t"
                     "vmladav.s16 r2, q2, q0\n\t"
                     "vmladav.s16 r4, q3, q0\n\t"
                     "vldrb.s16 q0, [r5], #8\n\t"
                     "vmladav.s16 r6, q1, q0\n\t"
                     "vmladav.s16 r8, q2, q0\n\t"
                     "vmladav.s16 r10, q3, q0\n\t"
                     "wlstp.16 lr, lr, 3f\n"
                     "1:\n\t"
                     "vldrb.s16 q0, [r7], #8\n\t"
                     "vldrh.16 q1, [r1], #16\n\t"
                     "vldrh.16 q2, [r3], #16\n\t"
                     "vmladava.s16 r0, q1, q0\n\t"
                     "vldrh.16 q3, [r9], #16\n\t"
                     "vmladava.s16 r2, q2, q0\n\t"
                     "vmladava.s16 r4, q3, q0\n\t"
                     "vldrb.s16 q0, [r5], #8\n\t"
                     "vmladava.s16 r6, q1, q0\n\t"
                     "vmladava.s16 r8, q2, q0\n\t"
                     "vmladava.s16 r10, q3, q0\n\t"
                     "letp lr, 1b\n"
                     "3:\n\t"
                     "ldrd r1, r3, [%[of], #16]\n\t"
                     "stm r11, {r0, r2, r4}\n\t"
                     "add r7, r7, r1\n\t"
                     "add r5, r5, r1\n\t"
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

/* Sums of three vectors of `count` halves, 8 or more, with `channels` vectors of bytes, an even
 * number, `pitch` bytes apart. */
static FG_INLINE void fg_dot_halves(const int16_t *const x[FG_THREE_PIXELS], const int8_t *y,
                                    int32_t pitch, int32_t count, int32_t channels, int32_t *sums) {
    const int32_t whole = (count + FG_HALF_LANES - 1) / FG_HALF_LANES * FG_HALF_LANES;
    fg_half_pairs pairs = {.x = {x[0], x[1], x[2]},
                           .left = count - FG_HALF_LANES,
                           .next = 2 * pitch - whole,
                           .count = channels / 2,
                           .y = {y, y + pitch},
                           .sums = sums};
    fg_dot_half_pairs(&pairs);
}

/* One inner product of `count` halves, 1 or more. */
static FG_INLINE int32_t fg_dot_one_half(const int16_t *x, const int16_t *y, int32_t count) {
    fg_halves value;
    fg_halves factor;
    int32_t sum = 0;
    __asm__(
        "dlstp.16 lr, %[count]\n"
        "1:\n\t"
        "vldrh.16 %q[value], [%[x]], #16\n\t"
        "vldrh.16 %q[factor], [%[y]], #16\n\t"
        "vmladava.s16 %[sum], %q[value], %q[factor]\n\t"
        "letp lr, 1b"
        : [value] "=&w"(value), [factor] "=&w"(factor), [sum] "+Te"(sum), [x] "+r"(x), [y] "+r"(y)
        : [count] "r"(count)
        : "lr", "memory");
    return sum;
}

#else

static inline int32_t fg_dot_one_half(const int16_t *x, const int16_t *y, int32_t count) {
    uint32_t sum = 0;
    for (int32_t index = 0; index < count; ++index) {
        sum += (uint32_t)(x[index] * y[index]);
    }
    return (int32_t)sum;
}

static inline void fg_dot_halves(const int16_t *const x[FG_THREE_PIXELS], const int8_t *y,
                                 int32_t pitch, int32_t count, int32_t channels, int32_t *sums) {
    for (; channels > 0; --channels) {
        for (int32_t pixel = 0; pixel < FG_THREE_PIXELS; ++pixel) {
            uint32_t sum = 0;
            for (int32_t index = 0; index < count; ++index) {
                sum += (uint32_t)(x[pixel][index] * y[index]);
            }
            sums[pixel] = (int32_t)sum;
        }
        y += pitch;
        sums += FG_SUMS_PIXELS;
    }
}

static inline void fg_dot_half_windows(const int16_t *x, int32_t step, int32_t pitch,
                                       const int16_t *filters, int32_t halves, int32_t channels,
                                       int32_t pixels, int32_t *sums) {
    for (int32_t channel = 0; channel < channels; ++channel) {
        for (int32_t pixel = 0; pixel < pixels; ++pixel) {
            sums[pixel] = fg_dot_one_half(x + channel * pitch + pixel * step,
                                          filters + channel * halves, halves);
        }
        sums += FG_SUMS_PIXELS;
    }
}

static inline void fg_dot_six_half_windows(const int16_t *x, int32_t step, int32_t pitch,
                                           const int16_t *filters, int32_t channels,
                                           int32_t *sums) {
    fg_dot_half_windows(x, step, pitch, filters, 2 * FG_HALF_LANES, channels, FG_SIX_PIXELS, sums);
}

static inline void fg_dot_three_half_windows(const int16_t *x, int32_t step, int32_t pitch,
                                             const int16_t *filters, int32_t channels,
                                             int32_t *sums) {
    fg_dot_half_windows(x, step, pitch, filters, 2 * FG_HALF_LANES, channels, FG_THREE_PIXELS,
                        sums);
}

static inline void fg_dot_six_wide_half_windows(const int16_t *x, int32_t step, int32_t pitch,
                                                const int16_t *filters, int32_t channels,
                                                int32_t *sums) {
    fg_dot_half_windows(x, step, pitch, filters, 4 * FG_HALF_LANES, channels, FG_SIX_PIXELS, sums);
}

static inline void fg_dot_three_wide_half_windows(const int16_t *x, int32_t step, int32_t pitch,
                                                  const int16_t *filters, int32_t channels,
                                                  int32_t *sums) {
    fg_dot_half_windows(x, step, pitch, filters, 4 * FG_HALF_LANES, channels, FG_THREE_PIXELS,
                        sums);
}

static inline void fg_dot_six_long_half_windows(const int16_t *x, int32_t step, int32_t pitch,
                                                const int16_t *filters, int32_t channels,
                                                int32_t *sums) {
    fg_dot_half_windows(x, step, pitch, filters, 7 * FG_HALF_LANES, channels, FG_SIX_PIXELS, sums);
}

static inline void fg_dot_three_long_half_windows(const int16_t *x, int32_t step, int32_t pitch,
                                                  const int16_t *filters, int32_t channels,
                                                  int32_t *sums) {
    fg_dot_half_windows(x, step, pitch, filters, 7 * FG_HALF_LANES, channels, FG_THREE_PIXELS,
                        sums);
}

#endif

#endif
