/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_RNG_H
#define FG_RNG_H

/* Random numbers that are a function of where they are used (seed, round, device, step, layer, row,
 * column), not of what was drawn before: loop order, unrolling and machine cannot change a result.
 * SPEC.md, "Numerics", is the definition. */

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Too small and too hot to be called, even when optimising for size. */
#if defined(__GNUC__)
#define FG_RNG_INLINE static inline __attribute__((always_inline))
#else
#define FG_RNG_INLINE static inline
#endif

/* A bijection of 32-bit words with full avalanche. Inner loops pass the multipliers in, so that
 * they stay in registers. */
#define FG_MIX_FIRST  0x7feb352dU
#define FG_MIX_SECOND 0x846ca68bU

FG_RNG_INLINE uint32_t fg_mix32_by(uint32_t x, uint32_t first, uint32_t second) {
    x ^= x >> 16;
    x *= first;
    x ^= x >> 15;
    x *= second;
    x ^= x >> 16;
    return x;
}

static inline uint32_t fg_mix32(uint32_t x) {
    return fg_mix32_by(x, FG_MIX_FIRST, FG_MIX_SECOND);
}

/* The root of everything random that one device does in one round. */
static inline uint32_t fg_round_key(uint32_t seed, uint32_t round, uint64_t device_id) {
    const uint32_t low = (uint32_t)device_id;
    const uint32_t high = (uint32_t)(device_id >> 32);
    return fg_mix32(seed ^ fg_mix32(round ^ fg_mix32(low ^ fg_mix32(high))));
}

/* fg_step.key of step 0, 1, .. of the round. */
static inline uint32_t fg_step_key(uint32_t round_key, uint32_t step) {
    return fg_mix32(round_key + step * 0x9E3779B9U);
}

/* Key of a trained layer within a step; layers are counted from 0. */
static inline uint32_t fg_layer_key(uint32_t step_key, uint32_t layer) {
    return fg_mix32(step_key ^ ((layer + 1U) * 0x85EBCA6BU));
}

/* Key of one output (a row of the weight matrix) of a layer. Word j of the row is
 * fg_mix32(row_key + j): its low half rounds weight 2j, its high half weight 2j + 1. */
static inline uint32_t fg_row_key(uint32_t layer_key, uint32_t output) {
    return fg_mix32(layer_key + output);
}

/* The order of an epoch: an arithmetic progression modulo `count` that visits every sample once. */
typedef struct fg_order {
    uint32_t count;
    uint32_t next;   /* index of the sample to visit next */
    uint32_t stride; /* < count, coprime to it (0 when count is 1) */
} fg_order;

static inline uint32_t fg_gcd(uint32_t a, uint32_t b) {
    while (b != 0U) {
        const uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Starts epoch 0, 1, .. over `count` samples; 1 <= count < 2^31. */
static inline fg_order fg_order_begin(uint32_t round_key, uint32_t epoch, uint32_t count) {
    const uint32_t a = fg_mix32(round_key ^ ((epoch + 1U) * 0xC2B2AE35U));
    uint32_t stride = 1U + fg_mix32(a) % count;
    while (fg_gcd(stride, count) != 1U) {
        stride++;
    }
    const fg_order order = {count, a % count, stride % count};
    return order;
}

/* The next sample's index. After `count` calls every sample was visited exactly once. */
static inline uint32_t fg_order_take(fg_order *order) {
    const uint32_t index = order->next;
    const uint32_t sum = index + order->stride; /* both < 2^31 */
    order->next = (sum >= order->count) ? sum - order->count : sum;
    return index;
}

#ifdef __cplusplus
}
#endif

#endif
