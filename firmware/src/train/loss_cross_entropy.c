/* SPDX-License-Identifier: Apache-2.0 */
#include "loss.h"

#define UNIT 1024 /* fine logits are in 1/1024 of a power of two */

/* round(2^(16 - j/16)), the first one saturated to 16 bits. */
static const uint16_t power_table[17] = {65535, 62757, 60097, 57549, 55109, 52773,
                                         50535, 48393, 46341, 44376, 42495, 40693,
                                         38968, 37316, 35734, 34219, 32768};

/* round(1024 * log2(1 + j/16)). */
static const uint16_t log_table[17] = {0,   90,  174, 254, 330, 402, 470, 536, 599,
                                       659, 717, 773, 827, 879, 929, 977, 1024};

/* 2^16 * 2^(-distance/1024), distance >= 0; 0 beyond 17 octaves. */
static uint32_t power_of_two(uint32_t distance) {
    const uint32_t octaves = distance >> 10;
    if (octaves > 16U) {
        return 0;
    }
    return (uint32_t)power_table[((distance & 1023U) + 32U) >> 6] >> octaves;
}

/* 1024 * log2(value) to within one unit, value >= 2^14: 4 bits pick a chord, 10 bits walk along it.
 */
static uint32_t log_of(uint32_t value) {
    uint32_t octave = 14;
    while ((value >> octave) > 1U) {
        octave++;
    }
    const uint32_t mantissa = (value >> (octave - 14U)) & 0x3FFFU;
    const uint32_t chord = mantissa >> 10;
    const uint32_t along = mantissa & 1023U;
    const uint32_t low = log_table[chord];
    const uint32_t rise = log_table[chord + 1U] - low;
    return octave * UNIT + low + ((rise * along + 512U) >> 10);
}

uint32_t fg_loss_cross_entropy(const fg_head *head, uint32_t label, int32_t *acc,
                               int16_t *gradient) {
    const uint32_t outputs = head->outputs;
    fg_loss_fine(head, acc, gradient);

    int32_t highest = acc[0];
    for (uint32_t o = 1; o < outputs; o++) {
        highest = (acc[o] > highest) ? acc[o] : highest;
    }
    const uint32_t missed = (uint32_t)(highest - acc[label]);
    uint32_t sum = 0;
    for (uint32_t o = 0; o < outputs; o++) {
        const uint32_t power = power_of_two((uint32_t)(highest - acc[o]));
        acc[o] = (int32_t)power;
        sum += power;
    }
    for (uint32_t o = 0; o < outputs; o++) {
        /* Rounded, so that the probabilities' errors cancel instead of adding up to a drift. */
        int32_t slope = (int32_t)((((uint32_t)acc[o] << 15) + (sum >> 1)) / sum);
        if (o == label) {
            slope -= 32768;
        } else if (slope > INT16_MAX) {
            slope = INT16_MAX;
        }
        for (uint32_t n = o; n < head->positions * outputs; n += outputs) {
            gradient[n] = (int16_t)(gradient[n] * slope);
        }
    }
    const uint32_t bits = missed + log_of(sum);
    return (bits > 16U * UNIT) ? bits - 16U * UNIT : 0U;
}
