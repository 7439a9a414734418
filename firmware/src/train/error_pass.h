/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_ERROR_PASS_H
#define FG_TRAIN_ERROR_PASS_H

/* What the errors of a layer's input cost: all of them once, from scaled errors of its output to
 * masked int8 errors. Written once per kind of processor; private to firmware/src/train. */

#include "error.h"

/* Errors of the output: int8, or the 16-bit gradient of the loss; the other one is NULL. */
typedef struct fg_error_source {
    const int8_t *errors;
    const int16_t *gradient;
} fg_error_source;

/* With `made` NULL the errors are only measured. */
fg_peaks fg_conv2d_error_pass(const fg_backward *layer, const fg_split_weights *weights,
                              fg_error_source from, const fg_mask *mask, int32_t shift,
                              int32_t *scratch, int8_t *made);

fg_peaks fg_depthwise_error_pass(const fg_backward *layer, const fg_split_weights *weights,
                                 const int8_t *errors, const fg_mask *mask, int32_t shift,
                                 int32_t *scratch, int8_t *made);

#endif
