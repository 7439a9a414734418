/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_GATES_H
#define FG_GATES_H

/* Logistic and tanh of 16-bit fixed-point numbers, results in Q0.15. */

#include <stdint.h>

/* Of a Q3.12 number. */
int32_t fg_logistic16(int32_t x);

/* Of a number with so many integer bits, 0 to 6. */
int32_t fg_tanh16(int32_t x, int32_t integer_bits);

#endif
