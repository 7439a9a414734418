/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_COBS_H
#define FG_COBS_H

#include <stddef.h>
#include <stdint.h>

/* Consistent overhead byte stuffing: writes `count` bytes without any zero and returns the new
 * length, at most count + 1 + count / 254. Works in place when `in` starts at least
 * 1 + count / 254 bytes behind `out`. Its inverse is fg_frame_decoder_push(). */
size_t fg_cobs_encode(uint8_t *out, const uint8_t *in, size_t count);

#endif
