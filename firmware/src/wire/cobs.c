/* SPDX-License-Identifier: Apache-2.0 */
#include "cobs.h"

size_t fg_cobs_encode(uint8_t *out, const uint8_t *in, size_t count) {
    const uint8_t *const end = in + count;
    uint8_t *const start = out;
    uint8_t *code = out++;
    uint8_t distance = 1;
    while (in != end) {
        const uint8_t byte = *in++;
        if (byte != 0U) {
            *out++ = byte;
            distance++;
        }
        /* A full block needs no code after it when nothing follows. */
        if (byte == 0U || (distance == 0xFFU && in != end)) {
            *code = distance;
            code = out++;
            distance = 1;
        }
    }
    *code = distance;
    return (size_t)(out - start);
}
