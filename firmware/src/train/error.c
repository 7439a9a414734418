/* SPDX-License-Identifier: Apache-2.0 */
#include "error.h"

#include <string.h>

#define LOSS_EXPONENT (-15)

void fg_errors_reset(fg_error *errors, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        errors[i] = (fg_error){.gain = FG_GAIN_UNKNOWN, .exponent = 0, .bits = 0};
    }
}

void fg_error_of_loss(const int16_t *gradient, uint32_t count, fg_error *error) {
    uint32_t sizes = 0;
    for (uint32_t i = 0; i < count; i++) {
        sizes |= fg_magnitude(gradient[i]);
    }
    error->exponent = LOSS_EXPONENT;
    error->bits = fg_bit_length(sizes);
}

fg_status fg_step_check(const fg_step *step) {
    const bool normal = step->lr_mantissa >= 16384 && step->lr_mantissa <= 32767 &&
                        step->lr_exponent >= INT16_MIN && step->lr_exponent <= INT16_MAX;
    return normal ? FG_OK : FG_ERR_ARGUMENT;
}

bool fg_error_none(const fg_error *from, fg_error *to, int8_t *made, uint32_t count) {
    if (from->bits != 0) {
        return false;
    }
    memset(made, 0, count);
    to->exponent = from->exponent;
    to->bits = 0;
    return true;
}

int32_t fg_error_shift(const fg_error *to, const fg_error *from) {
    if (to->gain == FG_GAIN_UNKNOWN) {
        return 0;
    }
    const int32_t shift = ((to->gain + 7) >> 3) + from->bits - 7;
    return (shift < 0) ? 0 : ((shift > 31) ? 31 : shift);
}

void fg_error_expect(fg_error *to, const fg_error *from, const fg_peaks *peaks) {
    if (peaks->sums == 0U) {
        return; /* nothing can be said of a gain */
    }
    const int16_t seen = (int16_t)(8 * (fg_bit_length(peaks->sums) - from->bits));
    if (to->gain == FG_GAIN_UNKNOWN || seen > to->gain) {
        to->gain = seen;
    } else if (seen < to->gain) {
        to->gain--;
    }
}
