/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_requantize.h"

#include "fg_fixed_point.h"
#include "fg_target.h"

#if !FG_MVE

void fg_requantize(const fg_channel_scale *scale, const fg_output *output, int32_t channel,
                   int32_t count, const uint32_t *sums, int8_t *result) {
    const int32_t *value = scale->value + channel;
    const int8_t *shift = scale->shift + channel;
    const fg_output limits = *output; /* which `result` might alias, as far as a compiler knows */
    for (; count > 0; --count) {
        const int32_t scaled = fg_scale_twice((int32_t)*sums++, *value++, *shift++);
        *result++ = fg_to_output(scaled, &limits);
    }
}

#endif
