/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "../../kernels/fg_target.h"
#include "../../kernels/mve/fg_sums_mve.h"
#include "store_mve.h"

#if FG_MVE

/* A lane for each channel; even and odd ones are kept apart until they are halves. */
static FG_INLINE fg_words round_words(fg_words sums, int32_t shift) {
    return fg_shift_word(fg_add_saturating(sums, fg_negative_words(sums)), -shift);
}

/* Of eight channels, whose bits are `bits` or, where these are NULL, in the mask. */
static FG_INLINE void store_open(const fg_storing *of, const int32_t *sums, int32_t pixels,
                                 uint32_t index, uint32_t step, const uint8_t *bits,
                                 fg_half_peaks *seen) {
    const fg_words rows = fg_word_steps(2 * FG_SUMS_PIXELS * (int32_t)sizeof *sums);
    const fg_halves most = fg_all_halves(127);
    const fg_halves least = fg_all_halves(-127);
    const int32_t shift = of->shift;
    const fg_mask mask = *of->mask;
    int8_t *made = of->made + index;
    fg_half_peaks peaks = *seen;
    for (; pixels > 0; --pixels) {
        const uint32_t some = bits != NULL ? *bits : fg_open_eight(&mask, index);
        const fg_words open = fg_all_words((int32_t)some);
        const fg_words even = fg_gather_open_words(sums, rows, fg_even_bits(open));
        const fg_words odd = fg_gather_open_words(sums + FG_SUMS_PIXELS, rows, fg_odd_bits(open));
        peaks.sums = fg_larger_size_words(fg_larger_size_words(peaks.sums, even), odd);
        const fg_halves both = fg_narrow_words(round_words(even, shift), round_words(odd, shift));
        const fg_halves errors = fg_max_halves(fg_min_halves(both, most), least);
        peaks.kept = fg_larger_size_halves(peaks.kept, errors);
        fg_store_halves_as_bytes(made, errors);
        ++sums;
        index += step;
        made += step;
        if (bits != NULL) {
            bits += step / 8U;
        }
    }
    *seen = peaks;
}

static FG_NOINLINE void store_whole_bytes(const fg_storing *of, const int32_t *sums, int32_t pixels,
                                          uint32_t index, uint32_t step, fg_half_peaks *seen) {
    store_open(of, sums, pixels, index, step, of->mask->bits + index / 8U, seen);
}

static FG_NOINLINE void store_others(const fg_storing *of, const int32_t *sums, int32_t pixels,
                                     uint32_t index, uint32_t step, fg_half_peaks *seen) {
    store_open(of, sums, pixels, index, step, NULL, seen);
}

void fg_store_block(const fg_storing *of, const int32_t *sums, int32_t pixels, uint32_t index,
                    uint32_t step, fg_peaks *peaks) {
    fg_half_peaks seen = {fg_all_words(0), fg_all_halves(0)};
    const fg_mask *const mask = of->mask;
    if (mask->values == NULL && mask->bits != NULL && index % 8U == 0U && step % 8U == 0U) {
        store_whole_bytes(of, sums, pixels, index, step, &seen);
    } else {
        store_others(of, sums, pixels, index, step, &seen);
    }
    fg_add_half_peaks(peaks, &seen);
}

void fg_store_any_block(const fg_storing *of, const int32_t *sums, int32_t count, int32_t pixels,
                        uint32_t index, uint32_t step, fg_peaks *peaks) {
    fg_lane_peaks seen = fg_no_lane_peaks();
    for (; pixels > 0; --pixels) {
        for (int32_t channel = 0; channel < count; channel += FG_WORD_LANES) {
            const int32_t lanes = count - channel < FG_WORD_LANES ? count - channel : FG_WORD_LANES;
            int32_t some[FG_WORD_LANES] = {0, 0, 0, 0};
            for (int32_t lane = 0; lane < lanes; ++lane) {
                some[lane] = sums[(channel + lane) * FG_SUMS_PIXELS];
            }
            fg_store_sums(of, fg_load_words(some), index + (uint32_t)channel, lanes, &seen);
        }
        ++sums;
        index += step;
    }
    fg_add_lane_peaks(peaks, &seen);
}

#endif
