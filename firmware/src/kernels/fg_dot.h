/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_DOT_H
#define FG_DOT_H

/* Inner products of int8 vectors, the heart of convolution and fully connected layers. Sums are
 * kept modulo 2^32: folding zero points into biases cannot overflow on the way to a sum that fits.
 */

#include <stdint.h>

/* Most outputs that are computed side by side, sharing the loads of their input. */
#define FG_DOT_ROWS 4

/* sums[r] = bias[r] + sum over i of x[i] * rows[r * count + i], for r < row_count <= FG_DOT_ROWS.
 */
void fg_dot_rows(const int8_t *x, const int8_t *rows, int32_t count, const int32_t *bias,
                 int32_t row_count, uint32_t sums[FG_DOT_ROWS]);

#endif
