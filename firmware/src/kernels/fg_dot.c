/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_dot.h"

void fg_dot_rows(const int8_t *x, const int8_t *rows, int32_t count, uint32_t sums[FG_DOT_ROWS]) {
    const int8_t *row0 = rows;
    const int8_t *row1 = row0 + count;
    const int8_t *row2 = row1 + count;
    const int8_t *row3 = row2 + count;
    uint32_t sum0 = sums[0];
    uint32_t sum1 = sums[1];
    uint32_t sum2 = sums[2];
    uint32_t sum3 = sums[3];
    for (; count > 0; --count) {
        const int32_t value = *x++;
        sum0 += (uint32_t)(value * *row0++);
        sum1 += (uint32_t)(value * *row1++);
        sum2 += (uint32_t)(value * *row2++);
        sum3 += (uint32_t)(value * *row3++);
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

uint32_t fg_dot(const int8_t *x, const int8_t *row, int32_t count) {
    uint32_t sum = 0;
    for (; count > 0; --count) {
        sum += (uint32_t)(*x++ * *row++);
    }
    return sum;
}
