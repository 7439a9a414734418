/* SPDX-License-Identifier: Apache-2.0 */
#include "../kernels/fg_target.h"
#include "fleetgrad/fg_rng.h"
#include "learn.h"
#include "masters.h"

#if FG_DSP
#include "dsp/learn_dsp.h"
#endif

void fg_learn_weights(const fg_learning *learning, int32_t channel, int32_t first, int32_t count,
                      const int32_t *sums, int32_t step, int16_t *masters, int8_t *shadow) {
#if FG_DSP
    if (step == 1 && fg_learn_quickly(learning, channel, first, count, sums, masters, shadow)) {
        return;
    }
#endif
    const fg_scale *const scale = &learning->rates->weight[channel * learning->rates->step];
    const fg_pace rate = fg_pace_of(learning, scale, learning->rates->growth, FG_WEIGHT_BITS);
    const uint32_t key = fg_row_key(learning->layer_key, (uint32_t)channel);
    for (int32_t i = 0; i < count; i++) {
        if (sums[i] != 0) { /* else nothing changes whatever the noise: need not compute it */
            const uint32_t index = (uint32_t)(first + i);
            const uint32_t word = fg_mix32(key + (index >> 1));
            const uint32_t noise = (index & 1U) != 0U ? word >> 16 : word & 0xFFFFU;
            const int64_t change =
                fg_shift_round(sums[i] * rate.mantissa, rate.shift, FG_CHANGE_LIMIT);
            fg_change_weight(masters, shadow, (int32_t)change + (int32_t)noise);
        }
        masters += step;
        shadow += step;
    }
}
