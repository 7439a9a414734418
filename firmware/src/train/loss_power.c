/* SPDX-License-Identifier: Apache-2.0 */
#include "loss_power.h"

/* round(2^(16 - j/16)), the first one saturated to 16 bits. */
static const uint16_t power_table[17] = {65535, 62757, 60097, 57549, 55109, 52773,
                                         50535, 48393, 46341, 44376, 42495, 40693,
                                         38968, 37316, 35734, 34219, 32768};

/* round(1024 * log2(1 + j/16)). */
static const uint16_t log_table[17] = {0,   90,  174, 254, 330, 402, 470, 536, 599,
                                       659, 717, 773, 827, 879, 929, 977, 1024};

uint32_t fg_power_of_two(uint32_t distance) {
    const uint32_t octaves = distance >> 10;
    if (octaves > 16U) {
        return 0;
    }
    return (uint32_t)power_table[((distance & 1023U) + 32U) >> 6] >> octaves;
}

/* 4 bits pick a chord, 10 bits walk along it. */
uint32_t fg_log_of(uint32_t value) {
    uint32_t octave = 14;
    while ((value >> octave) > 1U) {
        octave++;
    }
    const uint32_t mantissa = (value >> (octave - 14U)) & 0x3FFFU;
    const uint32_t chord = mantissa >> 10;
    const uint32_t along = mantissa & 1023U;
    const uint32_t low = log_table[chord];
    const uint32_t rise = log_table[chord + 1U] - low;
    return octave * FG_LOGIT_UNIT + low + ((rise * along + 512U) >> 10);
}
