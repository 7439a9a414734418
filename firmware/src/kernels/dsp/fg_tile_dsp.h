/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TILE_DSP_H
#define FG_TILE_DSP_H

/* Products of two rows and four columns of int16, two of each at a time: the inner loop wherever
 * both sides serve often enough to be spread beforehand. */

#include "fg_dsp.h"

enum {
    FG_TILE_ROWS = 2,
    FG_TILE_COLUMNS = 4,
};

/* Sums of columns 0 .. 3 in both rows. */
typedef struct fg_tile {
    uint32_t row0[FG_TILE_COLUMNS], row1[FG_TILE_COLUMNS];
} fg_tile;

#if FG_DSP_LOOPS

/* One pair of products for each of the eight sums. Every register is used: the end and where the
 * sums belong stay in memory. */
#define FG_TILE_PAIR                                                                               \
    "ldmia  r0!, {r12, lr}\n\t"                                                                    \
    "ldmia  r1!, {r2, r3}\n\t"                                                                     \
    "smlad  r4, r12, r2, r4\n\t"                                                                   \
    "smlad  r8, lr, r2, r8\n\t"                                                                    \
    "smlad  r5, r12, r3, r5\n\t"                                                                   \
    "smlad  r9, lr, r3, r9\n\t"                                                                    \
    "ldmia  r1!, {r2, r3}\n\t"                                                                     \
    "smlad  r6, r12, r2, r6\n\t"                                                                   \
    "smlad  r10, lr, r2, r10\n\t"                                                                  \
    "smlad  r7, r12, r3, r7\n\t"                                                                   \
    "smlad  r11, lr, r3, r11\n\t"

/* Adds to sums0[0 .. 3] and sums1[0 .. 3]. `rows` holds a word of row 0 and one of row 1 for every
 * pair, up to `end`, at least one; `columns` a word of each column. */
static FG_INLINE void fg_add_tile(uint32_t *sums0, uint32_t *sums1, const uint32_t *rows,
                                  const uint32_t *end, const uint32_t *columns) {
    register const uint32_t *r0 __asm__("r0") = rows;
    register const uint32_t *r1 __asm__("r1") = columns;
    register uint32_t r12 __asm__("r12") = (uint32_t)(end - rows) / FG_TILE_ROWS;
    __asm__ volatile("ldr    r2, %[sums0]\n\t"
                     "ldmia  r2, {r4, r5, r6, r7}\n\t"
                     "ldr    r2, %[sums1]\n\t"
                     "ldmia  r2, {r8, r9, r10, r11}\n\t" FG_LOOP_OVER_QUADS(
                         "r12", FG_TILE_PAIR,
                         "ldr  r2, %[end]\n\t"
                         "cmp  r0, r2\n\t") "\n\t"
                                            "ldr    r2, %[sums0]\n\t"
                                            "stmia  r2, {r4, r5, r6, r7}\n\t"
                                            "ldr    r2, %[sums1]\n\t"
                                            "stmia  r2, {r8, r9, r10, r11}\n\t"
                     : "+r"(r0), "+r"(r1), "+r"(r12)
                     : [sums0] "m"(sums0), [sums1] "m"(sums1), [end] "m"(end)
                     : "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "lr", "cc",
                       "memory");
}

/* The same from the same beginning in both rows. */
static FG_INLINE fg_tile fg_tile_of(const uint32_t *sums, const uint32_t *rows, const uint32_t *end,
                                    const uint32_t *columns) {
    register const uint32_t *r0 __asm__("r0") = rows;
    register const uint32_t *r1 __asm__("r1") = columns;
    register uint32_t r12 __asm__("r12") = (uint32_t)(end - rows) / FG_TILE_ROWS;
    register uint32_t r4 __asm__("r4");
    register uint32_t r5 __asm__("r5");
    register uint32_t r6 __asm__("r6");
    register uint32_t r7 __asm__("r7");
    register uint32_t r8 __asm__("r8");
    register uint32_t r9 __asm__("r9");
    register uint32_t r10 __asm__("r10");
    register uint32_t r11 __asm__("r11");
    __asm__ volatile("ldr    r2, %[sums]\n\t"
                     "ldmia  r2, {r4, r5, r6, r7}\n\t"
                     "ldmia  r2, {r8, r9, r10, r11}\n\t" FG_LOOP_OVER_QUADS("r12", FG_TILE_PAIR,
                                                                            "ldr  r2, %[end]\n\t"
                                                                            "cmp  r0, r2\n\t")
                     : "+r"(r0), "+r"(r1), "+r"(r12), "=r"(r4), "=r"(r5), "=r"(r6), "=r"(r7),
                       "=r"(r8), "=r"(r9), "=r"(r10), "=r"(r11)
                     : [sums] "m"(sums), [end] "m"(end)
                     : "r2", "r3", "lr", "cc", "memory");
    const fg_tile tile = {{r4, r5, r6, r7}, {r8, r9, r10, r11}};
    return tile;
}

#else

static FG_INLINE void fg_add_tile(uint32_t *sums0, uint32_t *sums1, const uint32_t *rows,
                                  const uint32_t *end, const uint32_t *columns) {
    for (; rows != end; rows += FG_TILE_ROWS) {
        for (int32_t column = 0; column < FG_TILE_COLUMNS; ++column) {
            sums0[column] = fg_dot_pair(rows[0], columns[column], sums0[column]);
            sums1[column] = fg_dot_pair(rows[1], columns[column], sums1[column]);
        }
        columns += FG_TILE_COLUMNS;
    }
}

static FG_INLINE fg_tile fg_tile_of(const uint32_t *sums, const uint32_t *rows, const uint32_t *end,
                                    const uint32_t *columns) {
    fg_tile tile = {{sums[0], sums[1], sums[2], sums[3]}, {sums[0], sums[1], sums[2], sums[3]}};
    fg_add_tile(tile.row0, tile.row1, rows, end, columns);
    return tile;
}

#endif

/* Four columns of int8 at two places, as words of both. */
static FG_INLINE uint32_t *fg_spread_quads(uint32_t first, uint32_t second, uint32_t *words) {
    const uint32_t first_even = fg_even_bytes(first);
    const uint32_t first_odd = fg_odd_bytes(first);
    const uint32_t second_even = fg_even_bytes(second);
    const uint32_t second_odd = fg_odd_bytes(second);
    words[0] = fg_lower_halves(first_even, second_even);
    words[1] = fg_lower_halves(first_odd, second_odd);
    words[2] = fg_upper_halves(first_even, second_even);
    words[3] = fg_upper_halves(first_odd, second_odd);
    return words + FG_TILE_COLUMNS;
}

#endif
