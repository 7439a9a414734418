/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_MERGE_ERRORS_H
#define FG_TRAIN_MERGE_ERRORS_H

/* The sum of two error tensors; private to firmware/src/train. */

#include "error.h"

/* Bits that the sums have more than the first tensor's errors. */
#define FG_MERGE_BITS 15

/* How both tensors come to one unit. */
typedef struct fg_merging {
    int32_t ratio; /* of the second one */
    int32_t shift_errors, shift_others;
} fg_merging;

/* Measures all sums and, where `made` is not NULL, rounds them; it may be `errors`. */
void fg_merge_pass(const fg_merging *of, uint32_t count, const int8_t *errors, const int8_t *others,
                   int32_t shift, int8_t *made, fg_peaks *peaks);

#endif
