/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_ROUTES_H
#define FG_TRAIN_ROUTES_H

/* Which tap of a window held the maximum, in 2, 4 or 8 bits; private to firmware/src/train. */

#include <stdint.h>

#include "fleetgrad/fg_kernels.h"

/* Routes in a byte, as a power of two. */
static inline uint32_t fg_routes_shift(const fg_window *window) {
    const int32_t taps = window->kernel_h * window->kernel_w;
    return (taps <= 4) ? 2U : ((taps <= 16) ? 1U : 0U);
}

static inline uint32_t fg_route_place(uint32_t index, uint32_t shift) {
    return (index & ((1U << shift) - 1U)) * (8U >> shift);
}

static inline int32_t fg_route_get(const uint8_t *routes, uint32_t index, uint32_t shift) {
    const uint32_t mask = (1U << (8U >> shift)) - 1U;
    return (int32_t)(((uint32_t)routes[index >> shift] >> fg_route_place(index, shift)) & mask);
}

/* In the order of the index: the first route of a byte clears the others. */
static inline void fg_route_put(uint8_t *routes, uint32_t index, uint32_t shift, int32_t route) {
    const uint32_t place = fg_route_place(index, shift);
    const uint32_t before = (place == 0U) ? 0U : routes[index >> shift];
    routes[index >> shift] = (uint8_t)(before | ((uint32_t)route << place));
}

#endif
