/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_RANGES_H
#define FG_RANGES_H

/* Constants that follow activation scales grown by powers of two, and what tells that they should
 * grow. Mantissas stay as exported: exactly so the exported model would be scaled. */

#include <stdbool.h>
#include <stdint.h>

#include "fleetgrad/fg_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* made[c] = bias[c] / 2^by to nearest, halves up, + fold[c] modulo 2^32; by >= 0, and no fold where
 * it is NULL. */
void fg_grow_bias(const int32_t *bias, const int32_t *fold, uint32_t channels, int32_t by,
                  int32_t *made);

/* Shifts of two roundings, and factors of one, for 2^by times the factor; returns `made`. */
const int8_t *fg_grow_shifts(const int8_t *shifts, uint32_t count, int32_t by, int8_t *made);
const fg_wide_scale *fg_grow_scales(const fg_wide_scale *scales, uint32_t count, int32_t by,
                                    fg_wide_scale *made);

/* How many of the values are -128 (if `low`) or 127 (if `high`). */
uint32_t fg_count_clipped(const int8_t *values, uint32_t count, bool low, bool high);

#ifdef __cplusplus
}
#endif

#endif
