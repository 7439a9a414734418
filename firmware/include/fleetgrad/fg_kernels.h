/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_KERNELS_H
#define FG_KERNELS_H

/* int8 forward kernels. Tensors are dense, height x width x channels, batch 1. Constants come
 * folded and checked from the code generator; a kernel trusts its parameters and cannot fail.
 * Results are bit for bit those of the reference arithmetic in SPEC.md. Kernels keep no state. */

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

/* Zero point and fused activation of an output. */
typedef struct fg_output {
    int16_t zero_point;
    int8_t low, high; /* clamp, inclusive */
} fg_output;

/* One factor per output channel, each value * 2^(shift - 31), applied with two roundings. */
typedef struct fg_channel_scale {
    const int32_t *value;
    const int8_t *shift;
} fg_channel_scale;

typedef struct fg_conv2d_params {
    fg_window window;
    int16_t in_channels, out_channels;
    int8_t input_zero; /* what padding is made of */
    fg_channel_scale scale;
    fg_output output;
} fg_conv2d_params;

/* Weights [out_channels][kernel_h][kernel_w][in_channels]; bias with the input's zero point folded
 * in: bias - input_zero * sum of the channel's weights. `scratch` holds one patch of kernel_h *
 * kernel_w * in_channels bytes; NULL when every patch lies contiguously in the input. */
void fg_conv2d(const fg_conv2d_params *params, const int8_t *weights, const int32_t *bias,
               const int8_t *input, int8_t *scratch, int8_t *output);

typedef struct fg_depthwise_conv2d_params {
    fg_window window;
    int16_t in_channels, multiplier; /* out_channels = in_channels * multiplier */
    int8_t input_zero;
    fg_channel_scale scale;
    fg_output output;
} fg_depthwise_conv2d_params;

/* Weights [kernel_h][kernel_w][out_channels], bias folded as above. `scratch` holds one patch; NULL
 * when no window reaches over the border. */
void fg_depthwise_conv2d(const fg_depthwise_conv2d_params *params, const int8_t *weights,
                         const int32_t *bias, const int8_t *input, int8_t *scratch, int8_t *output);

/* A factor (high * 2^32 + low) * 2^-(32 + shift), applied with one rounding, ties away from zero.
 */
typedef struct fg_wide_scale {
    uint32_t high, low;
    int32_t shift;
} fg_wide_scale;

typedef struct fg_fully_connected_params {
    int32_t inputs, outputs;
    const fg_wide_scale *scale;
    int32_t scale_step; /* 1: one scale per output; 0: one for all */
    fg_output output;
} fg_fully_connected_params;

/* Weights [outputs][inputs], bias folded as above. */
void fg_fully_connected(const fg_fully_connected_params *params, const int8_t *weights,
                        const int32_t *bias, const int8_t *input, int8_t *output);

typedef struct fg_pool2d_params {
    fg_window window;
    int16_t channels;
    int8_t low, high; /* clamp, inclusive */
} fg_pool2d_params;

/* Mean over the part of the window that lies inside, rounded to nearest, ties away from zero. */
void fg_average_pool2d(const fg_pool2d_params *params, const int8_t *input, int8_t *output);

void fg_max_pool2d(const fg_pool2d_params *params, const int8_t *input, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
