/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_KERNELS_H
#define FG_KERNELS_H

/* int8 forward kernels. Tensors are dense, height x width x channels, batch 1. Constants come
 * folded and checked from the code generator; a kernel trusts its parameters and cannot fail.
 * Results are bit for bit those of the reference arithmetic in SPEC.md. State lies in the
 * caller's memory. */

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A window that slides over an image: the geometry of convolutions and poolings. */
typedef struct fg_window {
    int16_t in_h, in_w;
    int16_t out_h, out_w;
    int16_t kernel_h, kernel_w;
    int16_t stride_h, stride_w;
    int16_t dilation_h, dilation_w;
    int16_t pad_top, pad_left; /* what lies below and to the right follows from the sizes */
} fg_window;

/* Fused activation and zero point of an output: clamp to [low, high], then add. */
typedef struct fg_output {
    int16_t low, high; /* relative to the zero point, inclusive */
    int8_t zero_point;
} fg_output;

/* One factor per output channel, each value * 2^(shift - 31), applied with two roundings. */
typedef struct fg_channel_scale {
    const int32_t *value;
    const int8_t *shift;
    /* Every shift is within -31 .. -2, and -20 or more where a sum may reach 2^30. */
    bool quick;
} fg_channel_scale;

typedef struct fg_conv2d_params {
    fg_window window;
    int16_t in_channels, out_channels;
    int16_t block; /* pixels that scratch memory has room for; 0: filters are long or pixels few */
    int8_t input_zero; /* what padding is made of */
    fg_channel_scale scale;
    fg_output output;
} fg_conv2d_params;

/* Weights [out_channels][kernel_h][kernel_w][in_channels]; bias with the input's zero point folded
 * in: bias - input_zero * sum of the channel's weights. With the taps, kernel_h * kernel_w *
 * in_channels, rounded up to a multiple of 4, `scratch` holds 4 bytes for each, or 2 * block + 8,
 * an even number, if there is a block; one more unless in_channels is such a multiple itself or
 * every window lies contiguously in the input. It is aligned to 4 bytes. */
void fg_conv2d(const fg_conv2d_params *params, const int8_t *weights, const int32_t *bias,
               const int8_t *input, int8_t *scratch, int8_t *output);

/* Pixels that fg_conv2d_in_place() computes at a time. */
static inline int32_t fg_in_place_pixels(int32_t in_channels) {
    const int32_t fit = 1024 / in_channels;
    return fit > 2 ? fit : 2;
}

/* The same into the memory of the input, for windows of 1x1 without stride and padding. `data`
 * holds the larger of the two. `scratch` begins with in_channels bytes for each of
 * fg_in_place_pixels(), rounded up to a multiple of 4. */
void fg_conv2d_in_place(const fg_conv2d_params *params, const int8_t *weights, const int32_t *bias,
                        int8_t *scratch, int8_t *data);

typedef struct fg_depthwise_conv2d_params {
    fg_window window;
    int16_t in_channels, multiplier; /* out_channels = in_channels * multiplier */
    int8_t input_zero;
    fg_channel_scale scale;
    fg_output output;
} fg_depthwise_conv2d_params;

/* Weights [kernel_h][kernel_w][out_channels], bias folded as above. `scratch`, aligned to 4 bytes,
 * holds one patch if a window reaches over the border; and, if multiplier is 1, kernel_h words for
 * each column that a window sees and 4 * kernel_h * kernel_w words. */
void fg_depthwise_conv2d(const fg_depthwise_conv2d_params *params, const int8_t *weights,
                         const int32_t *bias, const int8_t *input, int8_t *scratch, int8_t *output);

/* Channels that fg_depthwise_conv2d_in_place() computes at a time. */
#define FG_IN_PLACE_LANES 16

/* The same into the memory of the input, if multiplier is 1, rows of the output are no wider than
 * those of the input, and strides no larger than a window's reach, which is more than pad_top.
 * `scratch` begins with FG_IN_PLACE_LANES bytes for each tap, each element of the input's rows that
 * a window reaches over, and each element of an output row; the rest is what so many channels need.
 */
void fg_depthwise_conv2d_in_place(const fg_depthwise_conv2d_params *params, const int8_t *weights,
                                  const int32_t *bias, int8_t *scratch, int8_t *data);

/* A factor (high * 2^32 + low) * 2^-(32 + shift), applied with one rounding, ties away from zero.
 */
typedef struct fg_wide_scale {
    uint32_t high, low;
    int32_t shift;
} fg_wide_scale;

typedef struct fg_fully_connected_params {
    int32_t rows, inputs, outputs;
    const fg_wide_scale *scale;
    int32_t scale_step; /* 1: one scale per output; 0: one for all */
    fg_output output;
} fg_fully_connected_params;

/* Weights [outputs][inputs], bias folded as above; every row of the input on its own. */
void fg_fully_connected(const fg_fully_connected_params *params, const int8_t *weights,
                        const int32_t *bias, const int8_t *input, int8_t *output);

typedef struct fg_pool2d_params {
    fg_window window;
    int16_t channels;
    int8_t low, high; /* clamp, inclusive */
} fg_pool2d_params;

/* Mean over the part of the window that lies inside, rounded to nearest, ties away from zero. Of
 * both poolings, `output` may be the input where there is no padding above and to the left. */
void fg_average_pool2d(const fg_pool2d_params *params, const int8_t *input, int8_t *output);

void fg_max_pool2d(const fg_pool2d_params *params, const int8_t *input, int8_t *output);

/* One factor value * 2^(shift - 31), applied with two roundings. */
typedef struct fg_tensor_scale {
    int32_t value, shift;
} fg_tensor_scale;

typedef struct fg_mean_params {
    /* The input as [outer][first][middle][second][inner]; first and second are averaged over. */
    int32_t outer, first, middle, second, inner;
    int32_t bias;          /* -input zero point * first * second */
    fg_tensor_scale scale; /* divides by the count, too */
    fg_output output;
} fg_mean_params;

void fg_mean(const fg_mean_params *params, const int8_t *input, int8_t *output);

/* Two inputs element by element, of which either may be repeated along some dimensions. */
typedef struct fg_broadcast {
    int32_t size[3];    /* of the output, outermost first */
    int32_t step[2][3]; /* per input: elements to the next position, 0 where it is repeated */
} fg_broadcast;

typedef struct fg_add_params {
    fg_broadcast shape;
    int8_t sign; /* of the second input: 1 adds it, -1 subtracts it */
    int8_t input_zero[2];
    fg_tensor_scale input_scale[2]; /* to the sum's unit, from values shifted left by 20 */
    fg_tensor_scale scale;          /* from the sum to the output */
    fg_output output;
} fg_add_params;

/* `output` may be one of the inputs, unless that one is repeated. */
void fg_add(const fg_add_params *params, const int8_t *first, const int8_t *second, int8_t *output);

typedef struct fg_mul_params {
    fg_broadcast shape;
    int8_t input_zero[2];
    fg_tensor_scale scale; /* from the product to the output */
    fg_output output;
} fg_mul_params;

/* `output` may be one of the inputs, unless that one is repeated. */
void fg_mul(const fg_mul_params *params, const int8_t *first, const int8_t *second, int8_t *output);

typedef struct fg_pad_params {
    int32_t input[3], before[3], output[3]; /* elements per dimension, outermost first */
    int8_t value;
} fg_pad_params;

void fg_pad(const fg_pad_params *params, const int8_t *input, int8_t *output);

typedef struct fg_softmax_params {
    int32_t rows, classes;      /* classes < 4096 */
    const int32_t *exponential; /* [d] = exp of -d input steps, Q0.31 */
    int32_t differences;        /* entries; larger differences have probability 0 */
} fg_softmax_params;

/* Output scale 1/256, zero point -128. `output` may be `input`. */
void fg_softmax(const fg_softmax_params *params, const int8_t *input, int8_t *output);

typedef struct fg_quantize_params {
    int32_t count;
    int8_t input_zero;
    fg_tensor_scale scale;
    fg_output output;
} fg_quantize_params;

/* From one int8 quantisation to another. `output` may be `input`. */
void fg_quantize(const fg_quantize_params *params, const int8_t *input, int8_t *output);

/* Any function of one value, from a table of its values at -128 to 127. `output` may be `input`. */
void fg_lookup(const int8_t table[256], const int8_t *input, int32_t count, int8_t *output);

typedef struct fg_transpose_params {
    int32_t size[4]; /* of the output, outermost first */
    int32_t step[4]; /* elements of the input to the next position */
} fg_transpose_params;

void fg_transpose(const fg_transpose_params *params, const int8_t *input, int8_t *output);

/* Copies `rows` rows of `width` values into some columns of a wider matrix; `pitch` is the width of
 * that one, `output` where the first row begins in it. */
void fg_copy_columns(const int8_t *input, int32_t rows, int32_t width, int8_t *output,
                     int32_t pitch);

typedef struct fg_resize_params {
    int16_t out_h, out_w, in_w, channels;
    const int16_t *rows;    /* of the input, per row of the output */
    const int16_t *columns; /* likewise */
} fg_resize_params;

void fg_resize_nearest(const fg_resize_params *params, const int8_t *input, int8_t *output);

typedef struct fg_svdf_params {
    int32_t inputs, units, rank, memory; /* units * rank filters with so many steps of memory */
    fg_tensor_scale feature_scale;       /* from features to state */
    int32_t state_zero;
    fg_tensor_scale scale; /* from sums over time to the output */
    fg_output output;
} fg_svdf_params;

/* Feature weights [filters][inputs], time weights and state [filters][memory], the latest value
 * last. Zero points are folded into both biases: the input's into feature_bias [filters], the
 * state's into bias [units]. `state` outlives the call. Sums wrap at 32 bits. */
void fg_svdf8(const fg_svdf_params *params, const int8_t *feature, const int32_t *feature_bias,
              const int8_t *time, const int32_t *bias, const int8_t *input, int8_t *state,
              int8_t *output);

/* Likewise, with 16-bit time weights and state. */
void fg_svdf16(const fg_svdf_params *params, const int8_t *feature, const int32_t *feature_bias,
               const int16_t *time, const int32_t *bias, const int8_t *input, int16_t *state,
               int8_t *output);

/* One gate of an LSTM: two products, each scaled to Q3.12. */
typedef struct fg_lstm_gate {
    const int8_t *input_weights;     /* [cells][inputs] */
    const int32_t *input_bias;       /* the input's zero point folded in */
    const int8_t *recurrent_weights; /* [cells][cells] */
    const int32_t *recurrent_bias;   /* likewise, of the last output */
    fg_tensor_scale input_scale, recurrent_scale;
} fg_lstm_gate;

typedef struct fg_lstm_params {
    int32_t steps, inputs, cells;
    const fg_lstm_gate *gates; /* input, forget, cell, output */
    int32_t gate_count;        /* 3: without the input gate, which is then 1 - forget */
    int32_t cell_bits;         /* integer bits of the cell, 0 to 6 */
    int32_t clip;              /* largest magnitude of the cell; 0: none */
    fg_tensor_scale scale;     /* from output gate * tanh(cell) to the output */
    fg_output output;
} fg_lstm_params;

/* A sequence [steps][inputs] to [steps][cells]. `hidden`, the last output, and `cell`, both
 * [cells], outlive the call. */
void fg_lstm(const fg_lstm_params *params, const int8_t *input, int8_t *hidden, int16_t *cell,
             int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
