/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_block_mve.h"

#include "../fg_requantize.h"
#include "../fg_target.h"

#if FG_MVE

/* A lane for each of eight pixels: what a channel has of its own are scalars then. Even and odd
 * pixels are kept apart until they are halves. */

static FG_INLINE fg_halves finish_eight(const int32_t *sums, int32_t bias, int32_t value,
                                        int32_t shift, int32_t zero, fg_halves low, fg_halves high,
                                        fg_finish finish) {
    const fg_word_pair all = fg_load_word_pair(sums);
    const fg_words even = fg_scale_by_one(fg_add_word(all.even, bias), value, shift, finish);
    const fg_words odd = fg_scale_by_one(fg_add_word(all.odd, bias), value, shift, finish);
    const fg_halves moved = fg_add_half(fg_narrow_words(even, odd), zero);
    return fg_min_halves(fg_max_halves(moved, low), high);
}

static FG_INLINE void finish_channels(const fg_finisher *of, int32_t channel, int32_t count,
                                      const int32_t *sums, int32_t pixels, int8_t *output,
                                      fg_finish finish) {
    const fg_output *const to = of->output;
    const int32_t zero = to->zero_point;
    const fg_halves low = fg_all_halves((int16_t)(to->low + zero));
    const fg_halves high = fg_all_halves((int16_t)(to->high + zero));
    const fg_halves distances = fg_half_steps(of->channels);
    const int32_t step = FG_HALF_LANES * of->channels;
    /* Copies: bytes that are stored could be anything, as far as the compiler knows. */
    const int32_t *const biases = of->bias;
    const int32_t *const values = of->scale->value;
    const int8_t *const shifts = of->scale->shift;
    const int32_t whole = pixels / FG_HALF_LANES;
    const int32_t rest = pixels % FG_HALF_LANES;
    for (const int32_t end = channel + count; channel < end; ++channel) {
        const int32_t bias = biases[channel];
        const int32_t value = values[channel];
        const int32_t shift = shifts[channel];
        const int32_t *from = sums;
        int8_t *made = output + channel;
        for (int32_t left = whole; left > 0; --left) {
            const fg_halves eight = finish_eight(from, bias, value, shift, zero, low, high, finish);
            fg_scatter_halves_as_bytes(made, distances, eight);
            from += FG_HALF_LANES;
            made += step;
        }
        if (rest != 0) {
            const fg_halves some = finish_eight(from, bias, value, shift, zero, low, high, finish);
            fg_scatter_first_halves_as_bytes(made, distances, some, rest);
        }
        sums += FG_SUMS_PIXELS;
    }
}

static FG_NOINLINE void finish_positive(const fg_finisher *of, int32_t channel, int32_t count,
                                        const int32_t *sums, int32_t pixels, int8_t *output) {
    finish_channels(of, channel, count, sums, pixels, output, FG_FINISH_POSITIVE);
}

static FG_NOINLINE void finish_quick(const fg_finisher *of, int32_t channel, int32_t count,
                                     const int32_t *sums, int32_t pixels, int8_t *output) {
    finish_channels(of, channel, count, sums, pixels, output, FG_FINISH_QUICK);
}

static FG_NOINLINE void finish_any(const fg_finisher *of, int32_t channel, int32_t count,
                                   const int32_t *sums, int32_t pixels, int8_t *output) {
    finish_channels(of, channel, count, sums, pixels, output, FG_FINISH_ANY);
}

/* Where pixels are too far apart for a vector to reach them. */
static FG_NOINLINE void finish_far(const fg_finisher *of, int32_t channel, int32_t count,
                                   const int32_t *sums, int32_t pixels, int8_t *output) {
    uint32_t some[FG_BLOCK_CHANNELS];
    for (int32_t pixel = 0; pixel < pixels; ++pixel) {
        for (int32_t lane = 0; lane < count; ++lane) {
            some[lane] =
                (uint32_t)sums[lane * FG_SUMS_PIXELS + pixel] + (uint32_t)of->bias[channel + lane];
        }
        fg_requantize(of->scale, of->output, channel, count, some, output + channel);
        output += of->channels;
    }
}

void fg_finish_block(const fg_finisher *of, int32_t channel, int32_t count, const int32_t *sums,
                     int32_t pixels, int8_t *output) {
    if ((FG_HALF_LANES - 1) * of->channels > UINT16_MAX) {
        finish_far(of, channel, count, sums, pixels, output);
    } else if (of->finish == FG_FINISH_POSITIVE) {
        finish_positive(of, channel, count, sums, pixels, output);
    } else if (of->finish == FG_FINISH_QUICK) {
        finish_quick(of, channel, count, sums, pixels, output);
    } else {
        finish_any(of, channel, count, sums, pixels, output);
    }
}

#endif
