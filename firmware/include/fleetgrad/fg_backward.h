/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_BACKWARD_H
#define FG_BACKWARD_H

/* Integer training behind the last layer: int8 error tensors that walk back through the graph, each
 * with a power of two of its own, and updates that consume them at once. SPEC.md, "Numerics", is
 * the definition; the NumPy package fleetgrad_codegen.training computes the same, bit for bit. */

#include <stdint.h>

#include "fleetgrad/fg_kernels.h"
#include "fleetgrad/fg_model.h"
#include "fleetgrad/fg_status.h"
#include "fleetgrad/fg_train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* No sample has passed this tensor since the last reset. */
#define FG_GAIN_UNKNOWN INT16_MIN

/* What is known of an error tensor. A value e stands for e * 2^exponent, times a constant that the
 * generator folds into whatever reads it. */
typedef struct fg_error {
    int16_t gain; /* 8 * (bits of the largest sum - bits of the errors it came from), expected */
    int16_t exponent; /* of the present sample */
    int16_t bits;     /* bit length of the largest |e| of the present sample; 0: all are zero */
} fg_error;

/* Forgets all gains: training begins anew. */
void fg_errors_reset(fg_error *errors, uint32_t count);

/* Describes the gradient that the loss has left, in 2^-15. */
void fg_error_of_loss(const int16_t *gradient, uint32_t count, fg_error *error);

/* FG_ERR_ARGUMENT when the learning rate is not normalised. */
fg_status fg_step_check(const fg_step *step) FG_MUST_CHECK;

/* Where an activation was clamped no error passes. Either the activation itself is still there, or
 * one bit of it, set where errors pass; neither: they pass everywhere. */
typedef struct fg_mask {
    const int8_t *values;
    const uint8_t *bits;
    int8_t low, high; /* values at these ends are clamped */
} fg_mask;

/* Keeps one bit of each of `count` values, in (count + 7) / 8 bytes. */
void fg_mask_keep(const int8_t *values, uint32_t count, int8_t low, int8_t high, uint8_t *bits);

/* Brings errors to the common unit of all output channels: (e * value[o * step] + half) >> shift.
 */
typedef struct fg_error_ratio {
    const int16_t *value;
    int16_t step;     /* 1: one value per output channel; 0: one for all */
    int16_t shift;    /* at least 1 */
    int16_t exponent; /* that this adds to the tensor's */
} fg_error_ratio;

/* How gradients become changes of parameters, per unit of learning rate. */
typedef struct fg_rates {
    uint32_t layer; /* for the random numbers */
    int32_t step;   /* of both tables: 1 one entry per output channel, 0 one for all */
    const fg_scale *weight;
    const fg_scale *bias;
    int32_t growth; /* how often the input's scale has doubled since the tables were made */
} fg_rates;

/* A convolution or a fully connected layer (a row of `rows` pixels, window 1x1) on the way back.
 * The weights of its first `trained` output channels are in the shadow, those of the others in
 * constant memory; both in the layout of the forward pass, with as many channels as they have. */
typedef struct fg_backward {
    fg_window window;
    int16_t in_channels, out_channels, trained;
    int16_t block; /* pixels whose errors scratch memory has room for; 0: as many as a row has */
    int8_t input_zero;
    fg_error_ratio ratio; /* for the errors of the input */
    fg_rates rates;       /* for the update */
} fg_backward;

typedef struct fg_split_weights {
    const int8_t *trained, *frozen; /* NULL where there are none */
} fg_split_weights;

/* Errors of a convolution's input from those of its output. `sums` is scratch of in_channels words.
 * The first sample after a reset takes two passes. */
void fg_conv2d_error(const fg_backward *layer, const fg_split_weights *weights,
                     const fg_error *from, const int8_t *errors, const fg_mask *mask, int32_t *sums,
                     fg_error *to, int8_t *made);

/* The same from the gradient of the loss. */
void fg_conv2d_error_of_loss(const fg_backward *layer, const fg_split_weights *weights,
                             const fg_error *from, const int16_t *gradient, const fg_mask *mask,
                             int32_t *sums, fg_error *to, int8_t *made);

/* The same for a depthwise convolution, whose weights are [kernel_h][kernel_w][channels]. */
void fg_depthwise_error(const fg_backward *layer, const fg_split_weights *weights,
                        const fg_error *from, const int8_t *errors, const fg_mask *mask,
                        int32_t *sums, fg_error *to, int8_t *made);

/* One SGD step of a convolution: all biases, and the weights of the first `trained` output
 * channels. `input` is what the forward pass read (NULL when no weights train); `sums` is scratch
 * of kernel_h * kernel_w * in_channels words. */
void fg_conv2d_learn(const fg_backward *layer, const fg_step *step, const fg_error *from,
                     const int8_t *errors, const int8_t *input, int32_t *sums, int32_t *bias,
                     int16_t *masters, int8_t *shadow);

/* The same for a depthwise convolution; `sums` is scratch of kernel_h * kernel_w words. */
void fg_depthwise_learn(const fg_backward *layer, const fg_step *step, const fg_error *from,
                        const int8_t *errors, const int8_t *input, int32_t *sums, int32_t *bias,
                        int16_t *masters, int8_t *shadow);

/* A low-rank adapter of a fully connected layer or a 1x1 convolution, whose weights are frozen ones
 * plus up x down. Both factors lie one after the other: down, [rank][inputs] in 2^-14, then up,
 * [outputs][rank] in 1/256 of the weight's unit. */
typedef struct fg_adapter {
    int16_t rank;
    int16_t inside_shift; /* from sums of inputs times down to 16 bits */
    int16_t inside_limit;
    int16_t error_bits;   /* of errors times up */
    fg_error_ratio ratio; /* brings errors of all outputs to one unit */
    fg_rates up;          /* and of the biases */
    fg_rates down;
} fg_adapter;

/* One SGD step of all biases and both factors. `scratch` is 2 * pixels * rank + row words, and row
 * bytes after them, row being the larger one of in_channels and rank. */
void fg_adapter_learn(const fg_backward *layer, const fg_adapter *adapter, const fg_step *step,
                      const fg_error *from, const int8_t *errors, const int8_t *input,
                      int32_t *scratch, int32_t *bias, int16_t *factors);

/* shadow = frozen + up x down, [outputs][inputs], rounded to int8. Factors may come from afar:
 * those beyond the limit of masters are moved to it. */
void fg_adapter_merge(uint32_t rank, uint32_t outputs, uint32_t inputs, const int8_t *frozen,
                      int16_t *factors, int8_t *shadow);

/* One SGD step of the last layer's biases alone, from the gradient of the loss, [rows][channels].
 */
void fg_bias_learn_of_loss(const fg_rates *rates, const fg_step *step, const fg_error *from,
                           const int16_t *gradient, uint32_t rows, uint32_t channels,
                           int32_t *bias);

/* folded[o] = bias[o] - zero * sum of the weights of output channel o, modulo 2^32; the weights of
 * channel o are weights[o * channel_step + i * tap_step], i < taps. */
void fg_fold_bias(const int32_t *bias, const int8_t *weights, int32_t zero, uint32_t channels,
                  uint32_t taps, uint32_t channel_step, uint32_t tap_step, int32_t *folded);

/* folded[o] = bias[o] + constant[o]: the same where weights are constant. */
void fg_add_bias(const int32_t *bias, const int32_t *constant, uint32_t channels, int32_t *folded);

/* Puts the outputs of a layer's first channels, [pixels][trained], in front of those of the others,
 * [pixels][frozen] at the beginning of `made`: [pixels][trained + frozen]. */
void fg_interleave(uint32_t pixels, uint32_t trained, uint32_t frozen, const int8_t *first,
                   int8_t *made);

/* Which tap of each window holds the maximum: the first one. Windows of up to 4 taps take 2 bits
 * each, up to 16 taps 4, up to 255 a byte. */
void fg_max_pool2d_route(const fg_pool2d_params *params, const int8_t *input, uint8_t *routes);

/* Errors go where the maximum came from; windows do not overlap. */
void fg_max_pool2d_error(const fg_pool2d_params *params, const uint8_t *routes,
                         const fg_error *from, const int8_t *errors, const fg_mask *mask,
                         fg_error *to, int8_t *made);

/* Errors of a mean over windows that neither overlap nor reach over the border: a copy for each
 * element. */
void fg_spread_error(const fg_pool2d_params *params, const fg_error *from, const int8_t *errors,
                     const fg_mask *mask, fg_error *to, int8_t *made);

/* The same for windows that overlap: an element gets the sum over all windows it was the maximum
 * of. Values that were kept keep their clamps, so that there is no mask. `sums` is scratch of
 * channels words. From here on, the first sample after a reset takes two passes. */
void fg_max_pool2d_sum_error(const fg_pool2d_params *params, const uint8_t *routes,
                             const fg_error *from, const int8_t *errors, int32_t *sums,
                             fg_error *to, int8_t *made);

/* Errors of a mean over windows that overlap, or reach over the border and average fewer elements
 * there: what a window gives to each of n elements is (e * ratio[n - 1] + half) >> shift, and
 * `exponent` is what that adds to the tensor's. `sums` is scratch of channels words. */
void fg_average_pool2d_error(const fg_pool2d_params *params, const int16_t *ratio, int32_t shift,
                             int32_t exponent, const fg_error *from, const int8_t *errors,
                             const fg_mask *mask, int32_t *sums, fg_error *to, int8_t *made);

/* Errors of RESIZE_NEAREST_NEIGHBOR's input of `rows` rows: a pixel gets the sum over its copies.
 * There is no mask, as above. `sums` is scratch of channels words. */
void fg_resize_nearest_error(const fg_resize_params *params, uint32_t rows, const fg_error *from,
                             const int8_t *errors, int32_t *sums, fg_error *to, int8_t *made);

/* One of two inputs of an operator on pairs of elements. Its errors are those of the output times a
 * factor, summed where the input is repeated. */
typedef struct fg_pair_params {
    fg_broadcast shape;
    int8_t place; /* which input: 0 or 1 */
    int8_t sign;  /* the factor, where the other input is none */
    int8_t zero;  /* zero point of the other input */
} fg_pair_params;

/* `factors` is the other input of a product; NULL where the factor is the sign. */
void fg_pair_error(const fg_pair_params *params, const int8_t *factors, const fg_error *from,
                   const int8_t *errors, const fg_mask *mask, fg_error *to, int8_t *made);

/* Errors of a function of one value, from its output: slope[output + 128] is its derivative, in
 * 2^-15. */
void fg_lookup_error(const int16_t *slope, const int8_t *output, uint32_t count,
                     const fg_error *from, const int8_t *errors, const fg_mask *mask, fg_error *to,
                     int8_t *made);

/* Errors of PAD's input. */
void fg_crop_error(const fg_pad_params *params, const fg_error *from, const int8_t *errors,
                   const fg_mask *mask, fg_error *to, int8_t *made);

/* Errors of TRANSPOSE's input. */
void fg_transpose_error(const fg_transpose_params *params, const fg_error *from,
                        const int8_t *errors, fg_error *to, int8_t *made);

/* The same errors for one of several readers. */
void fg_copy_error(uint32_t count, const fg_error *from, const int8_t *errors, const fg_mask *mask,
                   fg_error *to, int8_t *made);

/* Adds errors that come from two readers of one tensor, into the first one's memory. The second
 * one's are ratio * 2^(ratio_exponent - 15) of the first one's unit. */
void fg_merge_errors(uint32_t count, int32_t ratio, int32_t ratio_exponent, fg_error *into,
                     int8_t *errors, const fg_error *from, const int8_t *others);

#ifdef __cplusplus
}
#endif

#endif
