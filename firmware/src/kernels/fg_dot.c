/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_dot.h"
#include "fg_target.h"

#if !FG_DSP && !FG_MVE

static uint32_t product(int8_t a, int8_t b) {
    return (uint32_t)(a * b);
}

/* FG_DOT_ROWS rows; count > 0. */
static void four_rows(const int8_t *x, const int8_t *rows, int32_t count, const int32_t *bias,
                      uint32_t *sums) {
    const int8_t *row0 = rows;
    const int8_t *row1 = row0 + count;
    const int8_t *row2 = row1 + count;
    const int8_t *row3 = row2 + count;
    uint32_t sum0 = (uint32_t)bias[0];
    uint32_t sum1 = (uint32_t)bias[1];
    uint32_t sum2 = (uint32_t)bias[2];
    uint32_t sum3 = (uint32_t)bias[3];
    const int8_t *const end = x + count;
    do {
        const int8_t value = *x++;
        sum0 += product(value, *row0++);
        sum1 += product(value, *row1++);
        sum2 += product(value, *row2++);
        sum3 += product(value, *row3++);
    } while (x != end);
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

void fg_dot_rows(const int8_t *x, const int8_t *rows, int32_t count, const int32_t *bias,
                 int32_t row_count, uint32_t sums[FG_DOT_ROWS]) {
    if (row_count == FG_DOT_ROWS) {
        four_rows(x, rows, count, bias, sums);
        return;
    }
    for (int32_t row = 0; row < row_count; ++row) {
        uint32_t sum = (uint32_t)bias[row];
        for (int32_t index = 0; index < count; ++index) {
            sum += product(x[index], *rows++);
        }
        sums[row] = sum;
    }
}

#endif
