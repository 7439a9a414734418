/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fleetgrad/fg_rng.h"
#include "fleetgrad/fg_train.h"

#include "masters.h"
#include "train_math.h"

#if FG_DSP
#include "dsp/learn_dsp.h"
#endif

#define PACE_BITS 15
#define BLOCK     64U

/* What turns a gradient in 2^-15 into a change of a parameter with fractional bits: mantissa /
 * 2^shift, the mantissa within [2^14, 2^15), so that its product with a gradient fits 32 bits. */
typedef struct pace {
    int32_t mantissa;
    int32_t shift;
} pace;

static pace pace_of(const fg_scale *scale, int32_t growth, const fg_step *step, uint32_t samples,
                    int32_t bits) {
    const int64_t product = (int64_t)scale->mantissa * step->lr_mantissa;
    uint32_t mantissa = (uint32_t)(product >> 15) / samples; /* 30 bits, then fewer */
    int32_t shift = 45 - bits - scale->exponent - growth - step->lr_exponent;
    while ((mantissa >> PACE_BITS) != 0U) {
        mantissa >>= 1;
        shift--;
    }
    return (pace){.mantissa = (int32_t)mantissa, .shift = shift};
}

/* gradient * pace, to nearest, within +-limit. */
static int32_t coefficient_of(int32_t gradient, pace rate, int32_t limit) {
    const int32_t product = gradient * rate.mantissa;
    if (rate.shift > 0) {
        if (rate.shift > 30) {
            return 0; /* products are below 2^30 */
        }
        const int32_t half = (int32_t)(UINT32_C(1) << ((uint32_t)rate.shift - 1U));
        return fg_clamp32((product + half) >> rate.shift, limit);
    }
    return (int32_t)fg_shift_round(product, rate.shift, limit);
}

/* The multipliers of the hash, in registers. */
typedef struct mixer {
    uint32_t first, second;
} mixer;

static FG_INLINE mixer new_mixer(void) {
    mixer mix = {FG_MIX_FIRST, FG_MIX_SECOND};
    FG_OPAQUE(mix.first);
    FG_OPAQUE(mix.second);
    return mix;
}

#if FG_WIDE

/* One output's weights from one row. In memory, words of random numbers are the weights' in their
 * order: first low halves, then high ones. */
static FG_INLINE void update_block(uint32_t count, uint32_t word, int32_t coefficient,
                                   const int16_t *restrict centred, int16_t *restrict masters,
                                   int8_t *restrict shadow) {
    uint32_t words[BLOCK / 2U];
    uint16_t noise[BLOCK];
    for (uint32_t w = 0; w < BLOCK / 2U; w++) {
        words[w] = fg_mix32(word + w);
    }
    memcpy(noise, words, sizeof noise);
    for (uint32_t i = 0; i < count; i++) {
        const int32_t change = coefficient * centred[i] + noise[i];
        const int32_t moved = fg_clamp32(masters[i] - (change >> FG_WEIGHT_BITS), FG_MASTER_LIMIT);
        masters[i] = (int16_t)moved;
        shadow[i] = fg_rounded_master(moved);
    }
}

static void update_from_row(uint32_t inputs, uint32_t word, int32_t coefficient,
                            const int16_t *restrict centred, int16_t *restrict masters,
                            int8_t *restrict shadow) {
    for (; inputs >= BLOCK; inputs -= BLOCK) {
        update_block(BLOCK, word, coefficient, centred, masters, shadow);
        word += BLOCK / 2U;
        centred += BLOCK;
        masters += BLOCK;
        shadow += BLOCK;
    }
    update_block(inputs, word, coefficient, centred, masters, shadow);
}

#else

/* Two weights that share a random word. Inputs at their zero point change nothing: noise alone is
 * less than one unit and rounds down to none, so the hash need not be computed. */
static FG_INLINE void update_pair(mixer mix, uint32_t word, int32_t coefficient,
                                  const int16_t *restrict centred, int16_t *restrict masters,
                                  int8_t *restrict shadow) {
    const int32_t x0 = centred[0];
    const int32_t x1 = centred[1];
    if ((x0 | x1) != 0) {
        const uint32_t noise = fg_mix32_by(word, mix.first, mix.second);
#if FG_DSP
        fg_change_pair(masters, shadow, coefficient * x0, coefficient * x1, noise);
#else
        fg_change_weight(&masters[0], &shadow[0], coefficient * x0 + (int32_t)(noise & 0xFFFFU));
        fg_change_weight(&masters[1], &shadow[1], coefficient * x1 + (int32_t)(noise >> 16));
#endif
    }
}

/* One output's weights from one row. */
static FG_NOINLINE void update_from_row(uint32_t inputs, uint32_t word, int32_t coefficient,
                                        const int16_t *restrict centred, int16_t *restrict masters,
                                        int8_t *restrict shadow) {
    const mixer mix = new_mixer();
    for (; inputs >= 8U; inputs -= 8U) {
        update_pair(mix, word, coefficient, centred, masters, shadow);
        update_pair(mix, word + 1U, coefficient, centred + 2, masters + 2, shadow + 2);
        update_pair(mix, word + 2U, coefficient, centred + 4, masters + 4, shadow + 4);
        update_pair(mix, word + 3U, coefficient, centred + 6, masters + 6, shadow + 6);
        word += 4U;
        centred += 8;
        masters += 8;
        shadow += 8;
    }
    for (; inputs >= 2U; inputs -= 2U) {
        update_pair(mix, word, coefficient, centred, masters, shadow);
        word++;
        centred += 2;
        masters += 2;
        shadow += 2;
    }
    if (inputs != 0U) {
        const uint32_t noise = fg_mix32(word);
        fg_change_weight(masters, shadow, coefficient * *centred + (int32_t)(noise & 0xFFFFU));
    }
}

#endif

/* The same from several rows; coefficients are small enough for the sum to fit 32 bits. */
static FG_NOINLINE void update_from_rows(uint32_t inputs, uint32_t word, uint32_t rows,
                                         const int32_t *restrict coefficients,
                                         const int16_t *restrict centred, int16_t *restrict masters,
                                         int8_t *restrict shadow) {
    const int32_t *const end = coefficients + rows;
    const mixer mix = new_mixer();
    for (uint32_t left = inputs; left > 0U;) {
        const uint32_t next = (left > 1U) ? 1U : 0U; /* none: the last column twice */
        const uint32_t width = 1U + next;
        const int16_t *columns = centred;
        int32_t change0 = 0;
        int32_t change1 = 0;
        for (const int32_t *coefficient = coefficients; coefficient != end; coefficient++) {
            change0 += *coefficient * columns[0];
            change1 += *coefficient * columns[next];
            columns += inputs;
        }
        const uint32_t noise = fg_mix32_by(word, mix.first, mix.second);
        fg_change_weight(&masters[0], &shadow[0], change0 + (int32_t)(noise & 0xFFFFU));
        if (next != 0U) {
            fg_change_weight(&masters[1], &shadow[1], change1 + (int32_t)(noise >> 16));
        }
        word++;
        centred += width;
        masters += width;
        shadow += width;
        left -= width;
    }
}

/* Fills the coefficients of one output; returns whether any weight can change. */
static bool fill_coefficients(pace rate, uint32_t rows, uint32_t outputs, const int16_t *gradient,
                              int32_t limit, int32_t *coefficients) {
    int32_t any = 0;
    for (uint32_t row = 0; row < rows; row++) {
        coefficients[row] = coefficient_of(*gradient, rate, limit);
        any |= coefficients[row];
        gradient += outputs;
    }
    return any != 0;
}

/* The bias is a weight whose input is always 1, in finer steps: 1/256 of its unit, 8 bits of noise.
 */
static int32_t updated_bias(int32_t bias, pace rate, uint32_t rows, uint32_t outputs,
                            const int16_t *gradient, int32_t limit, uint32_t row_key) {
    int32_t change = 0;
    for (uint32_t row = 0; row < rows; row++) {
        change += coefficient_of(*gradient, rate, limit);
        gradient += outputs;
    }
    if (change != 0) {
        change += (int32_t)(fg_mix32(row_key + FG_BIAS_WORD) & 0xFFU);
    }
    return fg_clamp32(fg_clamp32(bias, FG_BIAS_LIMIT) - (change >> 8), FG_BIAS_LIMIT);
}

fg_status fg_head_update(const fg_head *head, uint32_t samples, const fg_step *step,
                         const int16_t *centred, const int16_t *gradient, int32_t *coefficients,
                         int32_t *bias, int16_t *masters, int8_t *shadow) {
    if (samples == 0U || step->lr_mantissa < 16384 || step->lr_mantissa > 32767 ||
        step->lr_exponent < INT16_MIN || step->lr_exponent > INT16_MAX) {
        return FG_ERR_ARGUMENT;
    }
    const uint32_t inputs = head->inputs;
    const uint32_t outputs = head->outputs;
    const uint32_t rows = samples * head->positions;
    const int32_t limit = FG_CHANGE_LIMIT / (int32_t)(255U * rows); /* inputs are within +-255 */
    const int32_t bias_limit = FG_CHANGE_LIMIT / (int32_t)rows;
    const uint32_t layer_key = fg_layer_key(step->key, head->layer);
    pace rate = pace_of(head->rate, head->growth, step, samples, FG_WEIGHT_BITS);
    pace bias_rate = pace_of(head->bias_rate, -head->growth, step, samples, FG_BIAS_BITS);

    for (uint32_t o = 0; o < outputs; o++) {
        const uint32_t row_key = fg_row_key(layer_key, o);
        if (head->scale_stride != 0U) {
            rate = pace_of(&head->rate[o], head->growth, step, samples, FG_WEIGHT_BITS);
            bias_rate = pace_of(&head->bias_rate[o], -head->growth, step, samples, FG_BIAS_BITS);
        }
        bias[o] =
            updated_bias(bias[o], bias_rate, rows, outputs, gradient + o, bias_limit, row_key);
        if (fill_coefficients(rate, rows, outputs, gradient + o, limit, coefficients)) {
            if (rows == 1U) {
                update_from_row(inputs, row_key, coefficients[0], centred, masters, shadow);
            } else {
                update_from_rows(inputs, row_key, rows, coefficients, centred, masters, shadow);
            }
        }
        masters += inputs;
        shadow += inputs;
    }
    return FG_OK;
}

void fg_refresh(int16_t *masters, int8_t *shadow, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        masters[i] = (int16_t)fg_clamp32(masters[i], FG_MASTER_LIMIT);
        shadow[i] = fg_rounded_master(masters[i]);
    }
}
