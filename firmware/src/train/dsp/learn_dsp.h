/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_LEARN_DSP_H
#define FG_TRAIN_LEARN_DSP_H

/* Two weights at a time, without 64-bit arithmetic. */

#include "../../kernels/dsp/fg_dsp.h"
#include "../learn.h"
#include "../masters.h"
#include "fleetgrad/fg_rng.h"

/* The pace as a multiplication that keeps the upper word: sum * 2^left * mantissa / 2^32, rounded
 * once when it is shifted by `right`. Whatever is below that word changes no result. */
typedef struct fg_quick_pace {
    int32_t mantissa;
    int32_t half;
    uint32_t left, right;
} fg_quick_pace;

/* Whether there is one for sums of no more than the magnitude `largest` (or'ed ones will do). */
static inline bool fg_quick_pace_of(fg_pace rate, uint32_t largest, fg_quick_pace *pace) {
    const int32_t left = rate.shift < 33 ? 33 - rate.shift : 0;
    const int32_t right = rate.shift < 33 ? 1 : rate.shift - 32;
    if (right > 29 || left > 30 || (largest >> (31 - left)) != 0U) {
        return false;
    }
    pace->mantissa = (int32_t)rate.mantissa;
    pace->left = (uint32_t)left;
    pace->right = (uint32_t)right;
    pace->half = (int32_t)(UINT32_C(1) << ((uint32_t)right - 1U));
    return true;
}

/* The change for a sum that `left` has been applied to. */
static FG_INLINE int32_t fg_quick_change(const fg_quick_pace *pace, uint32_t shifted) {
    return fg_upper_mul_add((int32_t)shifted, pace->mantissa, pace->half) >> pace->right;
}

/* Subtracts changes in 1/65536 of a master's unit from two neighbours, which share a random word.
 */
static FG_INLINE void fg_change_pair(int16_t *masters, int8_t *shadow, int32_t first,
                                     int32_t second, uint32_t noise) {
    const uint32_t low = (uint32_t)first + (noise & 0xFFFFU);
    const uint32_t high = (uint32_t)second + (noise >> 16);
    uint32_t pair = fg_subtract_pairs(fg_load_pair(masters), fg_upper_halves(low, high));
    /* Saturation at both ends of int16 makes the limits +-32512. */
    pair = fg_subtract_pairs(fg_add_pairs(pair, 0x00FF00FFU), 0x01FF01FFU);
    pair = fg_add_pairs(pair, 0x01000100U);
    memcpy(masters, &pair, sizeof pair);
    const uint32_t rounded = fg_add_pairs(pair, 0x00800080U);
    shadow[0] = (int8_t)(rounded >> 8 & 0xFFU);
    shadow[1] = (int8_t)(rounded >> 24);
}

/* fg_learn_weights() of neighbouring weights, unless the sums are too large for this. */
bool fg_learn_quickly(const fg_learning *learning, int32_t channel, int32_t first, int32_t count,
                      const int32_t *sums, int16_t *masters, int8_t *shadow);

/* The same along one pixel's error and inputs, of which `zero` is to be subtracted. */
bool fg_learn_pixel(const fg_learning *learning, int32_t channel, int32_t error,
                    const int8_t *inputs, int32_t zero, int32_t count, int16_t *masters,
                    int8_t *shadow);

#endif
