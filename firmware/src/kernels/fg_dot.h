/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_DOT_H
#define FG_DOT_H

/* Inner products of int8 vectors, the heart of convolution and fully connected layers. Sums are
 * kept modulo 2^32: folding zero points into biases cannot overflow on the way to a sum that fits.
 */

#include <stdint.h>

#define FG_DOT_ROWS 4

/* sums[r] += sum over i of x[i] * rows[r * count + i], r < FG_DOT_ROWS. */
void fg_dot_rows(const int8_t *x, const int8_t *rows, int32_t count, uint32_t sums[FG_DOT_ROWS]);

/* The same for a single row. */
uint32_t fg_dot(const int8_t *x, const int8_t *row, int32_t count);

#endif
