/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_BYTES_H
#define FG_BYTES_H

/* Little-endian integers at any address. Written as shifts: compilers turn these into single loads
 * and stores where the core allows unaligned access, and stay correct where it does not. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline uint16_t fg_load_u16(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] | (uint16_t)(bytes[1] << 8));
}

static inline uint32_t fg_load_u32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static inline uint64_t fg_load_u64(const uint8_t *bytes) {
    return (uint64_t)fg_load_u32(bytes) | (uint64_t)fg_load_u32(bytes + 4) << 32;
}

static inline void fg_store_u16(uint8_t *bytes, uint16_t value) {
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

static inline void fg_store_u32(uint8_t *bytes, uint32_t value) {
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
    bytes[2] = (uint8_t)(value >> 16);
    bytes[3] = (uint8_t)(value >> 24);
}

static inline void fg_store_u64(uint8_t *bytes, uint64_t value) {
    fg_store_u32(bytes, (uint32_t)value);
    fg_store_u32(bytes + 4, (uint32_t)(value >> 32));
}

static inline bool fg_same_bytes(const uint8_t *a, const uint8_t *b, size_t count) {
    uint32_t difference = 0U;
    for (size_t i = 0U; i < count; i++) {
        difference |= (uint32_t)(a[i] ^ b[i]);
    }
    return difference == 0U;
}

#endif
