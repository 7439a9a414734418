/* SPDX-License-Identifier: Apache-2.0 */
/* Generated; edits are lost. */
#include "model.h"

#include <stddef.h>

#include "fleetgrad/fg_kernels.h"

_Static_assert(460U + FG_MODEL_INPUT_BYTES <= FG_MODEL_ARENA_BYTES,
               "the input lies in the arena");
_Static_assert(64U + FG_MODEL_OUTPUT_BYTES <= FG_MODEL_ARENA_BYTES,
               "the output lies in the arena");
_Static_assert(FG_ALIGNMENT % 4U == 0U, "the arena is aligned");

#define ARENA(type, offset) ((type *)(void *)(state->arena + (offset)))

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

static const fg_wide_scale op3_scale[1] = {
    {.high = 1759218578, .low = 3321438208, .shift = 40},
};

static const fg_fully_connected_params op3_params = {
    .rows = 1,
    .inputs = 64,
    .outputs = 4,
    .scale = op3_scale,
    .scale_step = 0,
    .output = {.low = -138, .high = 117, .zero_point = 10},
};

static const int8_t op3_weights[256] = {
    -90, -111, -39, -127, 93, -122, 114, -1, 15, -122, -68, 82, -34, -103, 38, -95, 121, 61, -116,
    76, -95, -71, -4, -98, 71, 21, 74, -9, -56, 92, -125, 81, -6, 8, 19, -51, 5, -46, -13, -41, 34,
    102, -58, -57, 112, -66, -81, 56, -97, -94, -65, -63, 18, 69, 14, 125, -47, 5, 112, -15, -98,
    119, -25, -6, -97, -109, -86, 1, 13, 8, -95, 21, 33, 50, 13, -21, -93, -21, 2, -56, -101, 89,
    126, -29, -115, 67, 78, -69, 100, 107, 74, 55, -81, -59, 51, -46, -93, -57, 31, -18, -7, -51,
    -41, -125, -2, -84, 125, 105, 97, -38, -9, 9, -8, -98, -73, -95, 37, -41, 88, 101, 39, -125,
    -87, -19, 75, 1, 91, -65, -27, 79, 28, -101, 92, -35, -99, 15, 72, -65, -117, -117, 52, 91, -15,
    62, -41, -94, -119, 5, -99, -67, -92, 116, 64, 79, 3, 126, -61, -29, 120, -81, -57, -39, -9, 9,
    -43, 118, 78, 86, 1, 75, 106, -15, -7, 78, 82, 72, 120, -108, 33, -76, -14, 127, -16, 78, -74,
    29, 3, 5, -59, -86, -60, 115, -104, -77, -1, -120, 77, -98, -31, -49, -93, -35, -65, 3, 60, -59,
    126, 105, 110, -124, -125, 39, 27, 97, -104, -44, -60, -63, -79, -4, 19, -111, 120, -34, -124,
    -87, 49, 31, -2, 64, 97, -42, 118, -38, -77, -94, 103, 17, 56, 0, 110, 25, -34, -65, -115, -80,
    -3, -81, 58, 116, -23, -70, -105, 30, -115, -126,
};

static const int32_t op3_bias[4] = {
    -86457, -68147, 38083, -141777,
};

static const int32_t op4_exponential[125] = {
    2147483647, 1848356295, 1590894967, 1369296034, 1178563986, 1014399186, 873101665, 751485549,
    646809628, 556714191, 479168232, 412424011, 354976627, 305531225, 262973156, 226343039,
    194815303, 167679081, 144322727, 124219719, 106916878, 92024230, 79205987, 68173227, 58677239,
    50503956, 43469167, 37414258, 32202751, 27717164, 23856379, 20533380, 17673244, 15211502,
    13092661, 11268955, 9699282, 8348249, 7185405, 6184535, 5323077, 4581616, 3943433, 3394145,
    2921367, 2514444, 2164202, 1862746, 1603280, 1379956, 1187739, 1022297, 879899, 757336, 651846,
    561049, 482899, 415635, 357740, 307910, 265021, 228105, 196332, 168985, 145446, 125187, 107749,
    92741, 79823, 68704, 59134, 50897, 43808, 37706, 32453, 27933, 24042, 20693, 17811, 15330,
    13195, 11357, 9775, 8413, 7241, 6233, 5365, 4617, 3974, 3421, 2944, 2534, 2181, 1877, 1616,
    1391, 1197, 1030, 887, 763, 657, 565, 487, 419, 361, 310, 267, 230, 198, 171, 147, 126, 109, 94,
    81, 69, 60, 51, 44, 38, 33, 28, 24, 21, 18,
};

static const fg_softmax_params op4_params = {
    .rows = 1,
    .classes = 4,
    .exponential = op4_exponential,
    .differences = 125,
};

static fg_status reset(const fg_model_state *state) {
    (void)state;
    return FG_OK;
}

static fg_status forward(const fg_model_state *state) {
    /* 0 CONV_2D: t3 8x8x4 */
    fg_conv2d(&op0_params, op0_weights, op0_bias, ARENA(const int8_t, 460U), ARENA(int8_t, 256U),
            ARENA(int8_t, 0U));
    /* 1 MAX_POOL_2D: t4 4x4x4 */
    fg_max_pool2d(&op1_params, ARENA(const int8_t, 0U), ARENA(int8_t, 0U));
    /* 2 RESHAPE: t5 64 */
    /* 3 FULLY_CONNECTED: t9 4 */
    fg_fully_connected(&op3_params, op3_weights, op3_bias, ARENA(const int8_t, 0U),
            ARENA(int8_t, 64U));
    /* 4 SOFTMAX: t10 4 */
    fg_softmax(&op4_params, ARENA(const int8_t, 64U), ARENA(int8_t, 64U));
    return FG_OK;
}

static fg_status evaluate(const fg_model_state *state, const fg_target *target,
        fg_metrics *metrics) {
    (void)state;
    (void)target;
    (void)metrics;
    return FG_ERR_UNSUPPORTED;
}

static fg_status accumulate(const fg_model_state *state, const fg_target *target, uint32_t row,
        fg_metrics *metrics) {
    (void)state;
    (void)target;
    (void)row;
    (void)metrics;
    return FG_ERR_UNSUPPORTED;
}

static fg_status apply(const fg_model_state *state, uint32_t rows, const fg_step *step) {
    (void)state;
    (void)rows;
    (void)step;
    return FG_ERR_UNSUPPORTED;
}

static fg_status refresh(const fg_model_state *state) {
    (void)state;
    return FG_OK;
}

const fg_model fg_generated_model = {
    .abi = FG_MODEL_ABI,
    .digest = {0xde, 0x43, 0x3a, 0x7a, 0x26, 0x94, 0x5d, 0xc1},
    .arena_bytes = FG_MODEL_ARENA_BYTES,
    .param_bytes = FG_MODEL_PARAM_BYTES,
    .shadow_bytes = FG_MODEL_SHADOW_BYTES,
    .persistent_bytes = FG_MODEL_PERSISTENT_BYTES,
    .input_offset = 460U,
    .input_bytes = FG_MODEL_INPUT_BYTES,
    .output_offset = 64U,
    .output_bytes = FG_MODEL_OUTPUT_BYTES,
    .target_bytes = 0U,
    .batch = FG_MODEL_BATCH,
    .loss = FG_LOSS_NONE,
    .segment_count = 0U,
    .segments = NULL,
    .initial_params = NULL,
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
