/* SPDX-License-Identifier: Apache-2.0 */
#include "../merge_errors.h"

#include <stddef.h>

#include "../../kernels/fg_fixed_point.h"
#include "../../kernels/fg_target.h"
#include "store_mve.h"

#if FG_MVE

static const fg_mask open_mask = {NULL, NULL, 0, 0};

static FG_INLINE fg_words sums_of(const fg_merging *of, fg_words errors, fg_words others) {
    const fg_words first = fg_shift_left_words(errors, FG_MERGE_BITS);
    const fg_words second = fg_multiply_words(others, fg_all_words(of->ratio));
    /* Values are below 2^23: nothing is left of them after a shift of 25 or more. */
    return fg_add_words(fg_shift_word(first, -fg_min(of->shift_errors, 31)),
                        fg_shift_word(second, -fg_min(of->shift_others, 31)));
}

void fg_merge_pass(const fg_merging *of, uint32_t count, const int8_t *errors, const int8_t *others,
                   int32_t shift, int8_t *made, fg_peaks *peaks) {
    const fg_storing storing = {&open_mask, shift, made};
    fg_lane_peaks seen = fg_no_lane_peaks();
    uint32_t index = 0;
    for (; count - index >= FG_WORD_LANES; index += FG_WORD_LANES) {
        const fg_words sums =
            sums_of(of, fg_load_as_words(errors + index), fg_load_as_words(others + index));
        fg_store_sums(&storing, sums, index, FG_WORD_LANES, &seen);
    }
    const int32_t rest = (int32_t)(count - index);
    if (rest != 0) {
        const fg_words sums = sums_of(of, fg_load_first_as_words(errors + index, rest),
                                      fg_load_first_as_words(others + index, rest));
        fg_store_sums(&storing, sums, index, rest, &seen);
    }
    fg_add_lane_peaks(peaks, &seen);
}

#endif
