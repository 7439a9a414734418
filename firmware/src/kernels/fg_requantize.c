/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_requantize.h"

#include "fg_fixed_point.h"
#include "fg_target.h"

#if FG_DSP
#include "dsp/fg_scale_dsp.h"
#endif

#if !FG_MVE

static FG_INLINE int32_t scale_any(uint32_t sum, int32_t value, int32_t shift) {
#if FG_DSP
    /* No promise is needed where the sum itself can be looked at: below 2^30 doubling is exact. */
    if (shift >= -31 && shift <= -2 && sum + (UINT32_C(1) << 30) < UINT32_C(1) << 31) {
        return fg_scale_quick(sum, fg_factor_of(value, shift), 0);
    }
#endif
    return fg_scale_twice((int32_t)sum, value, shift);
}

void fg_requantize(const fg_channel_scale *scale, const fg_output *output, int32_t channel,
                   int32_t count, const uint32_t *sums, int8_t *result) {
    const int32_t *value = scale->value + channel;
    const int8_t *shift = scale->shift + channel;
    const fg_output limits = *output; /* which `result` might alias, as far as a compiler knows */
    for (; count > 0; --count) {
        const int32_t scaled = scale_any(*sums++, *value++, *shift++);
        *result++ = fg_to_output(scaled, &limits);
    }
}

#endif
