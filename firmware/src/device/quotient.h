/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_QUOTIENT_H
#define FG_QUOTIENT_H

#include <stdint.h>

/* sum / count to nearest, at most 65535; 0 of nothing. */
uint16_t fg_quotient(uint64_t sum, uint32_t count);

#endif
