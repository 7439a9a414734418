/* SPDX-License-Identifier: Apache-2.0 */
#include "../fg_dot.h"
#include "../fg_target.h"
#include "fg_dsp.h"

#if FG_DSP && !FG_MVE

/* Adds the products of four values and four weights. */
static FG_INLINE uint32_t add_quad(uint32_t sum, uint32_t x, uint32_t weights) {
    sum = fg_dot_pair(fg_even_bytes(x), fg_even_bytes(weights), sum);
    return fg_dot_pair(fg_odd_bytes(x), fg_odd_bytes(weights), sum);
}

static uint32_t one_row(const int8_t *x, const int8_t *row, int32_t count, uint32_t sum) {
    for (; count >= 4; count -= 4) {
        sum = add_quad(sum, fg_load_quad(x), fg_load_quad(row));
        x += 4;
        row += 4;
    }
    return add_quad(sum, fg_load_some(x, count), fg_load_some(row, count));
}

/* Four rows, `count` apart, of the values from `x` to `end`: whole quads, at least one. */
#if FG_DSP_LOOPS

#define TWO_PRODUCTS(sum)                                                                          \
    "sxtb16 %[even], %[odd]\n\t"                                                                   \
    "sxtb16 %[odd], %[odd], ror #8\n\t"                                                            \
    "smlad  %[" sum "], %[x_even], %[even], %[" sum "]\n\t"                                        \
    "smlad  %[" sum "], %[x_odd], %[odd], %[" sum "]\n\t"

/* One quad of four rows, with every value in a register: compilers run out of them. */
#define FOUR_ROWS                                                                                  \
    "ldr    %[x_odd], [%[x]], #4\n\t"                                                              \
    "sxtb16 %[x_even], %[x_odd]\n\t"                                                               \
    "sxtb16 %[x_odd], %[x_odd], ror #8\n\t"                                                        \
    "ldr    %[odd], [%[row0], %[count]]\n\t" TWO_PRODUCTS(                                         \
        "sum1") "ldr    %[odd], [%[row0], "                                                        \
                "%[count], lsl "                                                                   \
                "#1]\n\t" TWO_PRODUCTS("sum2") "ldr    %[odd], [%[row0]], #4\n\t" TWO_PRODUCTS(    \
                    "sum0") "ldr    %[odd], "                                                      \
                            "[%[row3]], "                                                          \
                            "#4\n"                                                                 \
                            "\t" TWO_PRODUCTS("sum3")

static void four_rows(const int8_t *x, const int8_t *end, const int8_t *row0, int32_t count,
                      const int32_t *bias, uint32_t sums[FG_DOT_ROWS]) {
    const int8_t *row3 = row0 + 3 * count;
    uint32_t sum0 = (uint32_t)bias[0];
    uint32_t sum1 = (uint32_t)bias[1];
    uint32_t sum2 = (uint32_t)bias[2];
    uint32_t sum3 = (uint32_t)bias[3];
    uint32_t even = (uint32_t)(end - x) / 4U;
    uint32_t odd;
    uint32_t x_even;
    uint32_t x_odd;
    __asm__(FG_LOOP_OVER_QUADS("%[even]", FOUR_ROWS, "cmp  %[x], %[end]\n\t")
            : [x] "+r"(x), [row0] "+r"(row0), [row3] "+r"(row3), [sum0] "+r"(sum0),
              [sum1] "+r"(sum1), [sum2] "+r"(sum2), [sum3] "+r"(sum3), [even] "+r"(even),
              [odd] "=&r"(odd), [x_even] "=&r"(x_even), [x_odd] "=&r"(x_odd)
            : [end] "r"(end), [count] "r"(count)
            : "cc", "memory");
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

#else

static void four_rows(const int8_t *x, const int8_t *end, const int8_t *row0, int32_t count,
                      const int32_t *bias, uint32_t sums[FG_DOT_ROWS]) {
    for (int32_t row = 0; row < FG_DOT_ROWS; ++row) {
        sums[row] = one_row(x, row0 + row * count, (int32_t)(end - x), (uint32_t)bias[row]);
    }
}

#endif

static void any_rows(const int8_t *x, const int8_t *row, int32_t count, int32_t distance,
                     int32_t row_count, uint32_t *sums) {
    for (; row_count > 0; --row_count) {
        *sums = one_row(x, row, count, *sums);
        row += distance;
        ++sums;
    }
}

void fg_dot_rows(const int8_t *x, const int8_t *rows, int32_t count, const int32_t *bias,
                 int32_t row_count, uint32_t sums[FG_DOT_ROWS]) {
    if (row_count == FG_DOT_ROWS && count >= 4) {
        const int32_t most = count & ~3;
        four_rows(x, x + most, rows, count, bias, sums);
        if (most != count) {
            any_rows(x + most, rows + most, count - most, count, FG_DOT_ROWS, sums);
        }
    } else {
        for (int32_t row = 0; row < row_count; ++row) {
            sums[row] = (uint32_t)bias[row];
        }
        any_rows(x, rows, count, count, row_count, sums);
    }
}

#endif
