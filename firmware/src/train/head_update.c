/* SPDX-License-Identifier: Apache-2.0 */
#include "fleetgrad/fg_rng.h"
#include "fleetgrad/fg_train.h"

#include "train_math.h"

/* Word of a row's random numbers that rounds its bias; weights use words below 2^15. */
#define BIAS_WORD       UINT32_C(0x80000000)
#define BIAS_STEP_LIMIT (INT64_C(1) << 46) /* 2^30 with 16 fractional bits */

/* What turns a gradient in 2^-15 into 1/65536 of a parameter's unit: a rounded product. */
typedef struct pace {
    int32_t mantissa;
    int32_t shift;
} pace;

static pace pace_of(const fg_scale *scale, const fg_step *step, uint32_t samples) {
    const int64_t product = (int64_t)scale->mantissa * step->lr_mantissa;
    const int32_t mantissa = (int32_t)(product >> 15);
    return (pace){.mantissa = mantissa / (int32_t)samples,
                  .shift = 29 - scale->exponent - step->lr_exponent};
}

static inline int8_t rounded_master(int32_t master) {
    return (int8_t)((master + 128) >> 8);
}

/* Subtracts a change given in 1/65536 of a master's unit, rounding noise included. */
static inline void change_weight(int16_t *master, int8_t *shadow, int32_t change) {
    int32_t moved = *master - (change >> 16);
    if ((uint32_t)(moved + FG_MASTER_LIMIT) > 2U * FG_MASTER_LIMIT) {
        moved = (moved < 0) ? -FG_MASTER_LIMIT : FG_MASTER_LIMIT;
    }
    *master = (int16_t)moved;
    *shadow = rounded_master(moved);
}

/* One output's weights from one row. An input at its zero point changes nothing: noise alone is
 * less than one unit and rounds down to none, so its hash need not be computed. */
static void update_from_row(uint32_t inputs, uint32_t word, int32_t coefficient,
                            const int16_t *centred, int16_t *masters, int8_t *shadow) {
    const int16_t *const end = centred + (inputs & ~1U);
    while (centred != end) {
        const int32_t x0 = centred[0];
        const int32_t x1 = centred[1];
        if ((x0 | x1) != 0) {
            const uint32_t noise = fg_mix32(word);
            change_weight(&masters[0], &shadow[0], coefficient * x0 + (int32_t)(noise & 0xFFFFU));
            change_weight(&masters[1], &shadow[1], coefficient * x1 + (int32_t)(noise >> 16));
        }
        word++;
        centred += 2;
        masters += 2;
        shadow += 2;
    }
    if ((inputs & 1U) != 0U) {
        const uint32_t noise = fg_mix32(word);
        change_weight(masters, shadow, coefficient * *centred + (int32_t)(noise & 0xFFFFU));
    }
}

/* The same from several rows; coefficients are small enough for the sum to fit 32 bits. */
static void update_from_rows(uint32_t inputs, uint32_t word, uint32_t rows,
                             const int32_t *coefficients, const int16_t *centred, int16_t *masters,
                             int8_t *shadow) {
    uint32_t noise = 0;
    for (uint32_t i = 0; i < inputs; i++) {
        const int16_t *column = centred + i;
        int32_t change = 0;
        for (uint32_t row = 0; row < rows; row++) {
            change += coefficients[row] * *column;
            column += inputs;
        }
        noise = ((i & 1U) == 0U) ? fg_mix32(word++) : noise >> 16;
        change_weight(&masters[i], &shadow[i], change + (int32_t)(noise & 0xFFFFU));
    }
}

/* Fills the coefficients of one output; returns whether any weight can change. */
static bool coefficients_of(pace rate, uint32_t rows, uint32_t outputs, const int16_t *gradient,
                            int32_t limit, int32_t *coefficients) {
    bool any = false;
    for (uint32_t row = 0; row < rows; row++) {
        const int64_t product = (int64_t)*gradient * rate.mantissa;
        coefficients[row] = (int32_t)fg_shift_round(product, rate.shift, limit);
        any = any || coefficients[row] != 0;
        gradient += outputs;
    }
    return any;
}

static int32_t updated_bias(int32_t bias, pace rate, uint32_t rows, uint32_t outputs,
                            const int16_t *gradient, uint32_t row_key) {
    int32_t sum = 0;
    for (uint32_t row = 0; row < rows; row++) {
        sum += *gradient;
        gradient += outputs;
    }
    const int64_t product = (int64_t)sum * rate.mantissa;
    const int64_t exact = fg_shift_round(product, rate.shift, BIAS_STEP_LIMIT);
    const int64_t noise = fg_mix32(row_key + BIAS_WORD) & 0xFFFFU;
    return (int32_t)fg_clamp64(bias - ((exact + noise) >> 16), FG_BIAS_LIMIT);
}

fg_status fg_head_update(const fg_head *head, uint32_t samples, const fg_step *step,
                         const int16_t *centred, const int16_t *gradient, int32_t *coefficients,
                         int32_t *bias, int16_t *masters, int8_t *shadow) {
    if (samples == 0U || step->lr_mantissa < 16384 || step->lr_mantissa > 32767 ||
        step->lr_exponent < INT16_MIN || step->lr_exponent > INT16_MAX) {
        return FG_ERR_ARGUMENT;
    }
    const uint32_t rows = samples * head->positions;
    /* rows * 255 * limit plus the noise stays within 32 bits. */
    const int32_t limit = (INT32_MAX - 0x1FFFF) / (int32_t)(255U * rows);
    const uint32_t layer_key = fg_layer_key(step->key, head->layer);

    for (uint32_t o = 0; o < head->outputs; o++) {
        const uint32_t entry = o * head->scale_stride;
        const uint32_t row_key = fg_row_key(layer_key, o);
        const pace rate = pace_of(&head->rate[entry], step, samples);
        const pace bias_rate = pace_of(&head->bias_rate[entry], step, samples);

        bias[o] = updated_bias(bias[o], bias_rate, rows, head->outputs, gradient + o, row_key);
        if (!coefficients_of(rate, rows, head->outputs, gradient + o, limit, coefficients)) {
            continue;
        }
        const uint32_t first = o * head->inputs;
        if (rows == 1U) {
            update_from_row(head->inputs, row_key, coefficients[0], centred, masters + first,
                            shadow + first);
        } else {
            update_from_rows(head->inputs, row_key, rows, coefficients, centred, masters + first,
                             shadow + first);
        }
    }
    return FG_OK;
}

void fg_refresh(const int16_t *masters, int8_t *shadow, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        int32_t master = fg_clamp32(masters[i], FG_MASTER_LIMIT); /* they may come from afar */
        shadow[i] = rounded_master(master);
    }
}
