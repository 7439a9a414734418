/* SPDX-License-Identifier: Apache-2.0 */
#include "../fg_requantize.h"
#include "../fg_target.h"
#include "fg_scale_mve.h"

#if FG_MVE

void fg_requantize(const fg_channel_scale *scale, const fg_output *output, int32_t channel,
                   int32_t count, const uint32_t *sums, int8_t *result) {
    const fg_word_limits limits = fg_word_limits_of(output);
    for (int32_t done = 0; done < count; done += FG_WORD_LANES) {
        const int32_t left = fg_min(count - done, FG_WORD_LANES);
        const fg_words all = fg_load_first_words((const int32_t *)sums + done, left);
        const fg_words value = fg_load_first_words(scale->value + channel + done, left);
        const fg_words shift = fg_load_first_as_words(scale->shift + channel + done, left);
        const fg_words scaled = fg_scale_each(all, value, shift, FG_FINISH_ANY);
        fg_store_first_as_bytes(result + done, fg_clamp_words(scaled, &limits), left);
    }
}

#endif
