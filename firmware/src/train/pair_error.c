/* SPDX-License-Identifier: Apache-2.0 */
#include "passes.h"

#define LOOPS 3

/* The loops over an input's elements, and within each of them those over its copies. */
typedef struct loops {
    int32_t kept[LOOPS];     /* positions of the input */
    int32_t repeated[LOOPS]; /* copies of each */
    int32_t step[LOOPS];     /* elements of the output from one position to the next */
    int32_t other[LOOPS];    /* elements of the other input, likewise */
} loops;

static loops loops_of(const fg_pair_params *params) {
    const fg_broadcast *const shape = &params->shape;
    loops made;
    int32_t step = 1;
    for (int32_t d = LOOPS - 1; d >= 0; d--) {
        const bool moves = shape->step[params->place][d] != 0;
        made.kept[d] = moves ? shape->size[d] : 1;
        made.repeated[d] = moves ? 1 : shape->size[d];
        made.step[d] = step;
        made.other[d] = shape->step[1 - params->place][d];
        step *= shape->size[d];
    }
    return made;
}

/* Sum over all copies of one element, the first of which is at the given places. */
static int32_t sum_copies(const fg_pair_params *params, const loops *loop, const int8_t *errors,
                          const int8_t *factors) {
    int32_t sum = 0;
    for (int32_t i = 0; i < loop->repeated[0]; i++) {
        for (int32_t j = 0; j < loop->repeated[1]; j++) {
            const int8_t *error = errors + i * loop->step[0] + j * loop->step[1];
            const int32_t at = i * loop->other[0] + j * loop->other[1];
            for (int32_t k = 0; k < loop->repeated[2]; k++) {
                const int32_t factor = (factors != NULL)
                                           ? factors[at + k * loop->other[2]] - params->zero
                                           : params->sign;
                sum += error[k * loop->step[2]] * factor;
            }
        }
    }
    return sum;
}

void fg_pair_error(const fg_pair_params *params, const int8_t *factors, const fg_error *from,
                   const int8_t *errors, const fg_mask *mask, fg_error *to, int8_t *made) {
    const loops loop = loops_of(params);
    const int32_t count = loop.kept[0] * loop.kept[1] * loop.kept[2];
    fg_passes passes = fg_passes_of(from, to, mask, made, (uint32_t)count, 0);
    while (fg_passes_next(&passes)) {
        fg_line line = {.used = 0U};
        for (int32_t i = 0; i < loop.kept[0]; i++) {
            for (int32_t j = 0; j < loop.kept[1]; j++) {
                for (int32_t k = 0; k < loop.kept[2]; k++) {
                    const int32_t at = i * loop.step[0] + j * loop.step[1] + k * loop.step[2];
                    const int32_t other = i * loop.other[0] + j * loop.other[1] + k * loop.other[2];
                    const int8_t *first = (factors != NULL) ? factors + other : NULL;
                    fg_line_push(&line, &passes, sum_copies(params, &loop, errors + at, first));
                }
            }
        }
        fg_line_flush(&line, &passes);
    }
}
