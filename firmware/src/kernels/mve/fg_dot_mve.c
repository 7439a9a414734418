/* SPDX-License-Identifier: Apache-2.0 */
#include "../fg_dot.h"
#include "../fg_target.h"
#include "fg_mve.h"

#if FG_MVE

void fg_dot_rows(const int8_t *x, const int8_t *rows, int32_t count, const int32_t *bias,
                 int32_t row_count, uint32_t sums[FG_DOT_ROWS]) {
    /* Rows that are not there are computed from the last one. */
    const int8_t *row[FG_DOT_ROWS];
    for (int32_t index = 0; index < FG_DOT_ROWS; ++index) {
        row[index] = rows;
        rows += index + 1 < row_count ? count : 0;
    }
    const fg_words products = fg_dot_four_long(row, x, count);
    const fg_words all = fg_add_words(products, fg_load_first_words(bias, row_count));
    fg_store_first_words((int32_t *)sums, all, row_count);
}

#endif
