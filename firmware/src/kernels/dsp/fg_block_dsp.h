/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_BLOCK_DSP_H
#define FG_BLOCK_DSP_H

/* The inner loop of convolution: two output channels at two pixels, four taps at a time. Each word
 * that is loaded serves twice. */

#include "fg_patch_dsp.h"

/* Sums of the first and second channel at pixels 0 and 1. */
typedef struct fg_block {
    uint32_t first0, first1, second0, second1;
} fg_block;

static FG_INLINE fg_block fg_block_of(int32_t first, int32_t second) {
    const fg_block sums = {(uint32_t)first, (uint32_t)first, (uint32_t)second, (uint32_t)second};
    return sums;
}

/* Adds the products of four taps; `first` and `second` are the channels' weights. */
static FG_INLINE void fg_add_quad(fg_block *sums, const uint32_t *words, uint32_t first,
                                  uint32_t second) {
    sums->first0 = fg_dot_pair(words[0], fg_even_bytes(first), sums->first0);
    sums->first0 = fg_dot_pair(words[1], fg_odd_bytes(first), sums->first0);
    sums->first1 = fg_dot_pair(words[2], fg_even_bytes(first), sums->first1);
    sums->first1 = fg_dot_pair(words[3], fg_odd_bytes(first), sums->first1);
    sums->second0 = fg_dot_pair(words[0], fg_even_bytes(second), sums->second0);
    sums->second0 = fg_dot_pair(words[1], fg_odd_bytes(second), sums->second0);
    sums->second1 = fg_dot_pair(words[2], fg_even_bytes(second), sums->second1);
    sums->second1 = fg_dot_pair(words[3], fg_odd_bytes(second), sums->second1);
}

#if FG_DSP_LOOPS

/* fg_add_quad() with every value in a register. Compilers run out of them, so each has its place.
 */
#define FG_QUAD                                                                                    \
    "ldmia  r0!, {r4, r5, r6, r8}\n\t"                                                             \
    "ldr    lr, [r1], #4\n\t"                                                                      \
    "sxtb16 r3, lr\n\t"                                                                            \
    "sxtb16 lr, lr, ror #8\n\t"                                                                    \
    "smlad  r9, r4, r3, r9\n\t"                                                                    \
    "smlad  r10, r6, r3, r10\n\t"                                                                  \
    "smlad  r9, r5, lr, r9\n\t"                                                                    \
    "smlad  r10, r8, lr, r10\n\t"                                                                  \
    "ldr    lr, [r2], #4\n\t"                                                                      \
    "sxtb16 r3, lr\n\t"                                                                            \
    "sxtb16 lr, lr, ror #8\n\t"                                                                    \
    "smlad  r11, r4, r3, r11\n\t"                                                                  \
    "smlad  r12, r6, r3, r12\n\t"                                                                  \
    "smlad  r11, r5, lr, r11\n\t"                                                                  \
    "smlad  r12, r8, lr, r12\n\t"

/* All whole quads, from `words` to `end`; at least one. The end stays in memory: no register is
 * left for it. */
static FG_INLINE void fg_add_quads(fg_block *sums, const uint32_t *words, const uint32_t *end,
                                   const int8_t *first, const int8_t *second) {
    register const uint32_t *r0 __asm__("r0") = words;
    register const int8_t *r1 __asm__("r1") = first;
    register const int8_t *r2 __asm__("r2") = second;
    register uint32_t r3 __asm__("r3") = (uint32_t)(end - words) / FG_QUAD_WORDS;
    register uint32_t r9 __asm__("r9");
    register uint32_t r10 __asm__("r10");
    register uint32_t r11 __asm__("r11");
    register uint32_t r12 __asm__("r12");
    r9 = sums->first0;
    r10 = sums->first1;
    r11 = sums->second0;
    r12 = sums->second1;
    __asm__(FG_LOOP_OVER_QUADS("r3", FG_QUAD,
                               "ldr  r3, %[end]\n\t"
                               "cmp  r0, r3\n\t")
            : "+r"(r0), "+r"(r1), "+r"(r2), "+r"(r3), "+r"(r9), "+r"(r10), "+r"(r11), "+r"(r12)
            : [end] "m"(end)
            : "r4", "r5", "r6", "r8", "lr", "cc", "memory");
    sums->first0 = r9;
    sums->first1 = r10;
    sums->second0 = r11;
    sums->second1 = r12;
}

#else

static FG_INLINE void fg_add_quads(fg_block *sums, const uint32_t *words, const uint32_t *end,
                                   const int8_t *first, const int8_t *second) {
    for (; words != end; words += FG_QUAD_WORDS) {
        fg_add_quad(sums, words, fg_load_quad(first), fg_load_quad(second));
        first += 4;
        second += 4;
    }
}

#endif

#endif
