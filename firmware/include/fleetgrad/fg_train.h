/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_H
#define FG_TRAIN_H

/* Integer training of a model's last layer: fine accumulators, loss, gradient, stochastically
 * rounded update, and the differences that travel to the server. SPEC.md, "Numerics", is the
 * definition; the NumPy package fleetgrad_codegen.training computes the same, bit for bit. */

#include <stdbool.h>
#include <stdint.h>

#include "fleetgrad/fg_kernels.h"
#include "fleetgrad/fg_model.h"
#include "fleetgrad/fg_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Masters are 1/256 of the int8 weight's unit; weights stay within +-127. */
#define FG_MASTER_LIMIT 32512
/* Trained biases stay within +-2^30, so that bias + sum of products fits 32 bits. */
#define FG_BIAS_LIMIT (INT32_C(1) << 30)

/* A positive constant: mantissa * 2^(exponent - 30), 2^29 <= mantissa < 2^30. */
typedef struct fg_scale {
    int32_t mantissa;
    int32_t exponent;
} fg_scale;

/* A trained fully connected layer or 1x1 convolution: constants only, made by the generator. Row =
 * one position of one sample; a fully connected layer has one position. */
typedef struct fg_head {
    uint32_t inputs;  /* per position; <= 32768 */
    uint32_t outputs; /* per position */
    uint32_t positions;
    int32_t input_zero_point;
    bool relu;             /* fused activation: an output at zero passes no gradient */
    bool pooled;           /* the model's output is the mean over positions */
    uint32_t layer;        /* for the random numbers, counted from 0 */
    uint32_t scale_stride; /* of the three tables: 0 one entry for all outputs, 1 one per output */
    const fg_scale *fine;  /* accumulator to the loss's unit */
    const fg_scale *rate;  /* gradient to masters, per unit of learning rate and input */
    const fg_scale *bias_rate; /* gradient to biases, per unit of learning rate */
    int32_t growth; /* how often the input's scale has doubled since the tables were made */
} fg_head;

/* centred[p][i] = x[p][i] - input_zero_point; acc[p][o] = bias[o] + sum of weights[o][i] *
 * centred[p][i]. */
void fg_head_forward(const fg_head *head, const int8_t *x, const int8_t *weights,
                     const int32_t *bias, int16_t *centred, int32_t *acc);

/* The layer's int8 output from its accumulators, as the exported model computes it: fully connected
 * layers round once (scale per head->scale_stride), convolutions twice. */
void fg_head_output_once(const fg_head *head, const int32_t *acc, const fg_wide_scale *scale,
                         const fg_output *output, int8_t *y);
void fg_head_output_twice(const fg_head *head, const int32_t *acc, const fg_channel_scale *scale,
                          const fg_output *output, int8_t *y);

/* Softmax cross-entropy of one sample, in 1/1024 bit; label < outputs. Overwrites acc; writes
 * gradient[p][o] in 2^-15. */
uint32_t fg_loss_cross_entropy(const fg_head *head, uint32_t label, int32_t *acc,
                               int16_t *gradient);

/* Squared error of one sample against target[p][o] (target[o] when pooled), both in the
 * quantisation of the model's output: mean over the outputs, in 1/1024 of the squared unit.
 * Overwrites acc; writes gradient[p][o] in 1/128 of the unit. */
uint32_t fg_loss_squared_error(const fg_head *head, const int8_t *target, int32_t zero_point,
                               int32_t *acc, int16_t *gradient);

/* Binary cross-entropy of one sample before a LOGISTIC: the mean over the outputs, in 1/1024 bit.
 * What should come out is target[p][o] (target[o] when pooled) in the quantisation of the model's
 * output, 127 standing for 1; without a target the label, 0 or 1, of the only output. Overwrites
 * acc; writes gradient[p][o] in 2^-15. */
uint32_t fg_loss_binary_cross_entropy(const fg_head *head, uint32_t label, const int8_t *target,
                                      int32_t *acc, int16_t *gradient);

/* Squared error behind a LOGISTIC, likewise: the mean in 1/1024 of the squared unit of the output.
 */
uint32_t fg_loss_squared_error_of_chances(const fg_head *head, const int8_t *target, int32_t *acc,
                                          int16_t *gradient);

/* Index of the first maximum of count > 0 values: the predicted class. */
uint32_t fg_argmax(const int8_t *values, uint32_t count);

/* Puts one sample's centred inputs and gradient into row `row` of a batch's. */
void fg_head_keep(const fg_head *head, uint32_t row, const int16_t *centred,
                  const int16_t *gradient, int16_t *centred_rows, int16_t *gradient_rows);

/* One SGD step from the mean gradient of `samples` samples: rows of `centred` and `gradient` as the
 * functions above wrote them, sample after sample. `coefficients` is scratch for samples *
 * positions words. Updates bias and masters in place and writes the shadow weights. FG_ERR_ARGUMENT
 * when the learning rate is not normalised or there is no sample. */
fg_status fg_head_update(const fg_head *head, uint32_t samples, const fg_step *step,
                         const int16_t *centred, const int16_t *gradient, int32_t *coefficients,
                         int32_t *bias, int16_t *masters, int8_t *shadow) FG_MUST_CHECK;

/* shadow = masters rounded to int8. Masters may come from afar: those beyond the limit are moved to
 * it. */
void fg_refresh(int16_t *masters, int8_t *shadow, uint32_t count);

/* The update that a device sends: params - base per segment, as int8 times a power of two. */

/* Largest |params - base| of a segment. */
uint32_t fg_delta_peak(const fg_segment *segment, const uint8_t *params, const uint8_t *base);

/* How many parameters of a segment have come to their limits, where they cannot grow further; those
 * of `base` that lay there do not count. */
uint32_t fg_saturated(const fg_segment *segment, const uint8_t *params, const uint8_t *base);

/* Smallest shift that brings `peak` to int8: max(0, bit length - 7); at most 25. */
uint8_t fg_delta_exponent(uint32_t peak);

/* Element `index` of the segment: (params - base) / 2^exponent, to nearest, ties away from zero,
 * within +-127. */
int8_t fg_delta_value(const fg_segment *segment, const uint8_t *params, const uint8_t *base,
                      uint32_t index, uint8_t exponent);

/* All elements of the segment at once. */
void fg_delta_values(const fg_segment *segment, const uint8_t *params, const uint8_t *base,
                     uint8_t exponent, int8_t *restrict deltas);

#ifdef __cplusplus
}
#endif

#endif
