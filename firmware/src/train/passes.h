/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_PASSES_H
#define FG_TRAIN_PASSES_H

/* The passes that turn sums into errors: one that only measures while nothing is known of their
 * size, and one that keeps them. Private to firmware/src/train. */

#include "error.h"

typedef struct fg_passes {
    const fg_error *from;
    fg_error *to;
    const fg_mask *mask; /* NULL: errors pass everywhere */
    int8_t *made;
    uint32_t count;
    int32_t exponent; /* that the sums add to the errors' */
    int32_t shift;
    uint32_t index; /* of the next sum to be stored */
    fg_peaks peaks;
    bool keeps; /* in this pass */
} fg_passes;

/* Nothing has been summed yet. */
fg_passes fg_passes_of(const fg_error *from, fg_error *to, const fg_mask *mask, int8_t *made,
                       uint32_t count, int32_t exponent);

/* Whether all sums are to be stored, in order, once more. */
bool fg_passes_next(fg_passes *passes);

/* Takes the next `count` sums. */
void fg_passes_store(fg_passes *passes, const int32_t *sums, uint32_t count);

/* Sums of one element each, collected until there are some. */
#define FG_PASSES_LINE 16U

typedef struct fg_line {
    int32_t sums[FG_PASSES_LINE];
    uint32_t used;
} fg_line;

static inline void fg_line_flush(fg_line *line, fg_passes *passes) {
    fg_passes_store(passes, line->sums, line->used);
    line->used = 0U;
}

static inline void fg_line_push(fg_line *line, fg_passes *passes, int32_t sum) {
    line->sums[line->used++] = sum;
    if (line->used == FG_PASSES_LINE) {
        fg_line_flush(line, passes);
    }
}

#endif
