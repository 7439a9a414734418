/* SPDX-License-Identifier: Apache-2.0 */
/* Generated; edits are lost. */
#include "model.h"

#include <stddef.h>

#include "fleetgrad/fg_kernels.h"
#include "fleetgrad/fg_train.h"

_Static_assert(716U + FG_MODEL_INPUT_BYTES <= FG_MODEL_ARENA_BYTES,
               "the input lies in the arena");
_Static_assert(464U + FG_MODEL_OUTPUT_BYTES <= FG_MODEL_ARENA_BYTES,
               "the output lies in the arena");
_Static_assert(FG_ALIGNMENT % 4U == 0U, "the arena is aligned");

#define ARENA(type, offset) ((type *)(void *)(state->arena + (offset)))
#define PARAMS(type, offset) ((type *)(void *)(state->params + (offset)))
#define SHADOW(type, offset) ((type *)(void *)(state->shadow + (offset)))

static const int32_t op0_scale[4] = {
    1832519339, 1099511637, 1649267371, 2015771307,
};

static const int8_t op0_shift[4] = {
    -7, -6, -7, -7,
};

static const fg_conv2d_params op0_params = {
    .window = {.in_h = 8, .in_w = 8, .out_h = 8, .out_w = 8, .kernel_h = 3, .kernel_w = 3,
            .stride_h = 1, .stride_w = 1, .dilation_h = 1, .dilation_w = 1, .pad_top = 1,
            .pad_left = 1},
    .in_channels = 1,
    .out_channels = 4,
    .block = 4,
    .input_zero = -3,
    .scale = {.value = op0_scale, .shift = op0_shift, .quick = true},
    .output = {.low = 0, .high = 255, .zero_point = -128},
};

static const int8_t op0_weights[36] = {
    11, -54, 101, 113, 41, -63, -122, 32, 21, -22, -90, 47, 60, 77, 47, 101, -30, 121, -118, 20,
    -33, -42, 19, 70, -62, -89, -22, 85, 43, -83, 39, -71, -59, -47, -73, -114,
};

static const int32_t op0_bias[4] = {
    -160, 503, -25, -16,
};

static const fg_pool2d_params op1_params = {
    .window = {.in_h = 8, .in_w = 8, .out_h = 4, .out_w = 4, .kernel_h = 2, .kernel_w = 2,
            .stride_h = 2, .stride_w = 2, .dilation_h = 1, .dilation_w = 1, .pad_top = 0,
            .pad_left = 0},
    .channels = 4,
    .low = -128,
    .high = 127,
};

static const fg_scale head_fine[1] = {
    {.mantissa = 761404806, .exponent = 1},
};

static const fg_scale head_rate[1] = {
    {.mantissa = 1006632890, .exponent = 8},
};

static const fg_scale head_bias_rate[1] = {
    {.mantissa = 546133320, .exponent = 11},
};

static const fg_head head = {
    .inputs = 64,
    .outputs = 4,
    .positions = 1,
    .input_zero_point = -128,
    .relu = false,
    .pooled = false,
    .layer = 0,
    .scale_stride = 0,
    .fine = head_fine,
    .rate = head_rate,
    .bias_rate = head_bias_rate,
};

static const fg_wide_scale head_scale[1] = {
    {.high = 1914591133, .low = 3413108736, .shift = 39},
};

static const fg_output head_output = {
    .low = -64,
    .high = 191,
    .zero_point = -64,
};

static const int32_t op4_exponential[63] = {
    2147483647, 1630101401, 1237369573, 939256536, 712966318, 541195031, 410807712, 311833936,
    236705405, 179677213, 136388471, 103529114, 78586384, 59652973, 45281091, 34371752, 26090744,
    19804836, 15033360, 11411452, 8662147, 6575221, 4991087, 3788611, 2875840, 2182979, 1657045,
    1257822, 954781, 724751, 550141, 417598, 316988, 240618, 182647, 138643, 105240, 79885, 60639,
    46030, 34940, 26522, 20132, 15282, 11600, 8805, 6684, 5074, 3851, 2923, 2219, 1684, 1279, 971,
    737, 559, 425, 322, 245, 186, 141, 107, 81,
};

static const fg_softmax_params op4_params = {
    .rows = 1,
    .classes = 4,
    .exponential = op4_exponential,
    .differences = 63,
};

static fg_status reset(const fg_model_state *state) {
    (void)state;
    return FG_OK;
}

static fg_status forward(const fg_model_state *state) {
    /* 0 CONV_2D: t3 8x8x4 */
    fg_conv2d(&op0_params, op0_weights, op0_bias, ARENA(const int8_t, 716U), ARENA(int8_t, 512U),
            ARENA(int8_t, 256U));
    /* 1 MAX_POOL_2D: t4 4x4x4 */
    fg_max_pool2d(&op1_params, ARENA(const int8_t, 256U), ARENA(int8_t, 256U));
    /* 2 RESHAPE: t5 64 */
    /* 3 FULLY_CONNECTED: t9 4 */
    fg_head_forward(&head, ARENA(const int8_t, 256U), SHADOW(const int8_t, 0U),
            PARAMS(const int32_t, 0U), ARENA(int16_t, 320U), ARENA(int32_t, 448U));
    fg_head_output_once(&head, ARENA(const int32_t, 448U), head_scale, &head_output,
            ARENA(int8_t, 464U));
    /* 4 SOFTMAX: t10 4 */
    fg_softmax(&op4_params, ARENA(const int8_t, 464U), ARENA(int8_t, 464U));
    return FG_OK;
}

static fg_status evaluate(const fg_model_state *state, const fg_target *target,
        fg_metrics *metrics) {
    if (target->label >= 4U) {
        return FG_ERR_ARGUMENT;
    }
    const fg_status status = forward(state);
    if (status != FG_OK) {
        return status;
    }
    /* loss: softmax_cross_entropy */
    metrics->loss = fg_loss_cross_entropy(&head, target->label, ARENA(int32_t, 448U),
            ARENA(int16_t, 256U));
    metrics->predicted = fg_argmax(ARENA(const int8_t, 464U), 4U);
    metrics->correct = metrics->predicted == target->label;
    return FG_OK;
}

static fg_status accumulate(const fg_model_state *state, const fg_target *target, uint32_t row,
        fg_metrics *metrics) {
    if (row >= 2U) {
        return FG_ERR_ARGUMENT;
    }
    if (target->label >= 4U) {
        return FG_ERR_ARGUMENT;
    }
    const fg_status status = forward(state);
    if (status != FG_OK) {
        return status;
    }
    /* loss: softmax_cross_entropy */
    metrics->loss = fg_loss_cross_entropy(&head, target->label, ARENA(int32_t, 448U),
            ARENA(int16_t, 256U));
    metrics->predicted = fg_argmax(ARENA(const int8_t, 464U), 4U);
    metrics->correct = metrics->predicted == target->label;
    /* keep */
    fg_head_keep(&head, row, ARENA(const int16_t, 320U), ARENA(const int16_t, 256U),
            ARENA(int16_t, 0U), ARENA(int16_t, 780U));
    return FG_OK;
}

static fg_status apply(const fg_model_state *state, uint32_t rows, const fg_step *step) {
    if (rows == 0U || rows > 2U) {
        return FG_ERR_ARGUMENT;
    }
    /* update */
    const fg_status status = fg_head_update(&head, rows, step, ARENA(const int16_t, 0U),
            ARENA(const int16_t, 780U), ARENA(int32_t, 256U), PARAMS(int32_t, 0U),
            PARAMS(int16_t, 16U), SHADOW(int8_t, 0U));
    if (status != FG_OK) {
        return status;
    }
    return FG_OK;
}

static fg_status refresh(const fg_model_state *state) {
    fg_refresh(PARAMS(int16_t, 16U), SHADOW(int8_t, 0U), 256U);
    return FG_OK;
}

static const fg_segment segments[] = {
    {FG_SEGMENT_BIAS, 0U, 4U},
    {FG_SEGMENT_WEIGHT, 16U, 256U},
};

static const uint8_t initial_params[528] = {
    82, 0, 0, 0, 83, 255, 255, 255, 17, 0, 0, 0, 140, 255, 255, 255, 0, 233, 0, 228, 0, 246, 0, 224,
    0, 23, 0, 225, 0, 29, 0, 0, 0, 4, 0, 225, 0, 239, 0, 21, 0, 247, 0, 230, 0, 10, 0, 232, 0, 30,
    0, 15, 0, 227, 0, 19, 0, 232, 0, 238, 0, 255, 0, 231, 0, 18, 0, 5, 0, 19, 0, 254, 0, 242, 0, 23,
    0, 225, 0, 20, 0, 254, 0, 2, 0, 5, 0, 243, 0, 1, 0, 244, 0, 253, 0, 246, 0, 9, 0, 26, 0, 241, 0,
    242, 0, 28, 0, 239, 0, 236, 0, 14, 0, 232, 0, 232, 0, 240, 0, 240, 0, 5, 0, 17, 0, 4, 0, 31, 0,
    244, 0, 1, 0, 28, 0, 252, 0, 231, 0, 30, 0, 250, 0, 254, 0, 232, 0, 229, 0, 234, 0, 0, 0, 3, 0,
    2, 0, 232, 0, 5, 0, 8, 0, 13, 0, 3, 0, 251, 0, 233, 0, 251, 0, 1, 0, 242, 0, 231, 0, 22, 0, 32,
    0, 249, 0, 227, 0, 17, 0, 20, 0, 239, 0, 25, 0, 27, 0, 19, 0, 14, 0, 236, 0, 241, 0, 13, 0, 244,
    0, 233, 0, 242, 0, 8, 0, 251, 0, 254, 0, 243, 0, 246, 0, 225, 0, 255, 0, 235, 0, 31, 0, 26, 0,
    24, 0, 246, 0, 254, 0, 2, 0, 254, 0, 231, 0, 238, 0, 232, 0, 9, 0, 246, 0, 22, 0, 25, 0, 10, 0,
    225, 0, 234, 0, 251, 0, 19, 0, 0, 0, 23, 0, 240, 0, 249, 0, 20, 0, 7, 0, 231, 0, 23, 0, 247, 0,
    231, 0, 4, 0, 18, 0, 240, 0, 227, 0, 227, 0, 13, 0, 23, 0, 252, 0, 16, 0, 246, 0, 232, 0, 226,
    0, 1, 0, 231, 0, 239, 0, 233, 0, 29, 0, 16, 0, 20, 0, 1, 0, 32, 0, 241, 0, 249, 0, 30, 0, 236,
    0, 242, 0, 246, 0, 254, 0, 2, 0, 245, 0, 30, 0, 20, 0, 22, 0, 0, 0, 19, 0, 27, 0, 252, 0, 254,
    0, 20, 0, 21, 0, 18, 0, 30, 0, 229, 0, 8, 0, 237, 0, 252, 0, 32, 0, 252, 0, 20, 0, 237, 0, 7, 0,
    1, 0, 1, 0, 241, 0, 234, 0, 241, 0, 29, 0, 230, 0, 237, 0, 0, 0, 226, 0, 19, 0, 231, 0, 248, 0,
    244, 0, 233, 0, 247, 0, 240, 0, 1, 0, 15, 0, 241, 0, 32, 0, 26, 0, 28, 0, 225, 0, 225, 0, 10, 0,
    7, 0, 24, 0, 230, 0, 245, 0, 241, 0, 240, 0, 236, 0, 255, 0, 5, 0, 228, 0, 30, 0, 247, 0, 225,
    0, 234, 0, 12, 0, 8, 0, 255, 0, 16, 0, 24, 0, 245, 0, 30, 0, 246, 0, 237, 0, 232, 0, 26, 0, 4,
    0, 14, 0, 0, 0, 28, 0, 6, 0, 247, 0, 240, 0, 227, 0, 236, 0, 255, 0, 236, 0, 15, 0, 29, 0, 250,
    0, 238, 0, 230, 0, 8, 0, 227, 0, 224,
};

_Static_assert(sizeof initial_params == FG_MODEL_PARAM_BYTES,
               "segments and exponents fill the parameter vector");

const fg_model fg_generated_model = {
    .abi = FG_MODEL_ABI,
    .digest = {0xe8, 0x0b, 0x97, 0x0a, 0x32, 0x29, 0xea, 0x13},
    .arena_bytes = FG_MODEL_ARENA_BYTES,
    .param_bytes = FG_MODEL_PARAM_BYTES,
    .shadow_bytes = FG_MODEL_SHADOW_BYTES,
    .persistent_bytes = FG_MODEL_PERSISTENT_BYTES,
    .input_offset = 716U,
    .input_bytes = FG_MODEL_INPUT_BYTES,
    .output_offset = 464U,
    .output_bytes = FG_MODEL_OUTPUT_BYTES,
    .target_bytes = 0U,
    .batch = FG_MODEL_BATCH,
    .loss = FG_LOSS_SOFTMAX_CROSS_ENTROPY,
    .segment_count = 2U,
    .segments = segments,
    .initial_params = initial_params,
    .range_count = 0U,
    .range_values = NULL,
    .clipped_offset = 0U,
    .reset = reset,
    .forward = forward,
    .evaluate = evaluate,
    .accumulate = accumulate,
    .apply = apply,
    .refresh = refresh,
};
