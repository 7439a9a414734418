/* SPDX-License-Identifier: Apache-2.0 */

/* Compares the quick way from a sum to an int8 output with the exact one, over random sums and
 * factors of the range that the exporter calls quick, the ends and ties included. */

#include <stdio.h>

#include "../../firmware/src/kernels/dsp/fg_scale_dsp.h"
#include "fleetgrad/fg_rng.h"

static const int32_t ends[] = {
    INT32_MIN, INT32_MIN + 1, -(1 << 30) - 1, -(1 << 30),    -(1 << 30) + 1, -1,       0,
    1,         (1 << 30) - 1, 1 << 30,        (1 << 30) + 1, INT32_MAX - 1,  INT32_MAX};

static int32_t mistakes(int32_t sum, int32_t value, int32_t shift, const fg_output *output) {
    if (sum == INT32_MIN) {
        return 0; /* no sum gets there */
    }
    const fg_limits limits = fg_limits_of(output);
    const int8_t exact = fg_to_output(fg_scale_twice(sum, value, shift), output);
    const fg_factor factor = fg_factor_of(value, shift);
    return fg_output_of((uint32_t)sum, factor, &limits, limits.whole) != exact;
}

int main(void) {
    const fg_output outputs[] = {{-128, 127, 0}, {0, 255, -128}, {-255, 0, 127}, {-20, 40, 7}};
    int32_t wrong = 0;
    for (uint32_t round = 0; round < 200000; ++round) {
        const uint32_t dice = fg_mix32(round);
        const int32_t shift = -2 - (int32_t)(dice % 30);
        const int32_t value = (int32_t)((fg_mix32(dice) >> 2) | 1U << 30);
        const fg_output *output = &outputs[dice >> 30];
        /* Next to where the output steps: half units, give or take. */
        const int64_t unit = (1LL << (31 - shift)) / value;
        const int64_t step = (int32_t)(fg_mix32(dice + 1) % 600) - 300;
        const int64_t near = step * unit + unit / 2 + (int32_t)(dice >> 8 & 7) - 4;
        const int64_t most = shift < -20 ? (1 << 30) - 1 : INT32_MAX;
        const int64_t sum = near > most ? most : near < -most ? -most : near;
        wrong += mistakes((int32_t)sum, value, shift, output);
        if (shift >= -20) {
            wrong += mistakes(ends[round % (sizeof ends / sizeof *ends)], value, shift, output);
            wrong += mistakes((int32_t)fg_mix32(dice + 2), value, shift, output);
        }
    }
    printf("%d\n", (int)wrong);
    return 0;
}
