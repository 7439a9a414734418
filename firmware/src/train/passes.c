/* SPDX-License-Identifier: Apache-2.0 */
#include "passes.h"

static const fg_mask open_mask = {NULL, NULL, 0, 0};

fg_passes fg_passes_of(const fg_error *from, fg_error *to, const fg_mask *mask, int8_t *made,
                       uint32_t count, int32_t exponent) {
    return (fg_passes){.from = from,
                       .to = to,
                       .mask = (mask != NULL) ? mask : &open_mask,
                       .made = made,
                       .count = count,
                       .exponent = exponent,
                       .shift = 0,
                       .index = 0,
                       .peaks = {0U, 0U},
                       .keeps = false};
}

static void begin(fg_passes *passes, bool keeps) {
    passes->keeps = keeps;
    passes->shift = keeps ? fg_error_shift(passes->to, passes->from) : 0;
    passes->index = 0U;
    passes->peaks = (fg_peaks){0U, 0U};
}

bool fg_passes_next(fg_passes *passes) {
    fg_error *const to = passes->to;
    const bool first = passes->index == 0U;
    if (first && fg_error_none(passes->from, to, passes->made, passes->count)) {
        return false;
    }
    if (first) {
        begin(passes, to->gain != FG_GAIN_UNKNOWN);
        return true;
    }
    fg_error_expect(to, passes->from, &passes->peaks);
    if (!passes->keeps) {
        begin(passes, true);
        return true;
    }
    to->exponent = (int16_t)(passes->from->exponent + passes->exponent + passes->shift);
    to->bits = fg_bit_length(passes->peaks.kept);
    return false;
}

void fg_passes_store(fg_passes *passes, const int32_t *sums, uint32_t count) {
    fg_error_store(sums, count, passes->mask, passes->index, passes->shift,
                   passes->keeps ? passes->made : NULL, &passes->peaks);
    passes->index += count;
}
