/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <string.h>

#include "fleetgrad/fg_rng.h"

/* The arena: the input, the output, and one word per row of the batch. */
#define OUTPUT_AT FAKE_INPUTS
#define ROWS_AT   96U

/* A first byte of the input that makes every entry point fail, as a defective kernel would. */
#define POISON (-128)
/* A second byte that makes a chip fault. */
#define CRASH (-128)

static int32_t *rows_of(const fg_model_state *state) {
    return (int32_t *)(void *)(state->arena + ROWS_AT);
}

static int8_t *input_of(const fg_model_state *state) {
    return (int8_t *)state->arena;
}

static fg_status reset(const fg_model_state *state) {
    (void)state;
    return FG_OK;
}

static fg_status forward(const fg_model_state *state) {
    const int8_t *input = input_of(state);
    int8_t *output = (int8_t *)state->arena + OUTPUT_AT;
    if (input[0] == POISON) {
        return FG_ERR_ARGUMENT;
    }
#ifndef __unix__
    if (input[1] == CRASH) {
        __builtin_trap(); /* an instruction that no chip has */
    }
#endif
    for (uint32_t o = 0U; o < FAKE_CLASSES; o++) {
        uint32_t sum = 0U;
        for (uint32_t i = 0U; i < FAKE_INPUTS; i++) {
            sum += (uint32_t)((int32_t)state->shadow[o * FAKE_INPUTS + i] * input[i]);
        }
        output[o] = (int8_t)(int32_t)(fg_mix32(sum) & 127U);
    }
    return FG_OK;
}

static fg_status evaluate(const fg_model_state *state, const fg_target *target,
                          fg_metrics *metrics) {
    const fg_status status = forward(state);
    const int8_t *output = (const int8_t *)state->arena + OUTPUT_AT;
    uint32_t best = 0U;
    for (uint32_t o = 1U; o < FAKE_CLASSES; o++) {
        best = output[o] > output[best] ? o : best;
    }
    metrics->loss = (uint32_t)output[target->label] * 7U;
    metrics->predicted = best;
    metrics->correct = best == target->label;
    return status;
}

static fg_status accumulate(const fg_model_state *state, const fg_target *target, uint32_t row,
                            fg_metrics *metrics) {
    const fg_status status = evaluate(state, target, metrics);
    if (row >= FG_MODEL_BATCH) {
        return FG_ERR_ARGUMENT;
    }
    rows_of(state)[row] = (int32_t)(metrics->loss + target->label) * (int32_t)(row + 1U);
    return status;
}

static fg_status refresh(const fg_model_state *state) {
    for (uint32_t w = 0U; w < FAKE_WEIGHTS; w++) {
        int16_t master = 0;
        memcpy(&master, state->params + 4U * FAKE_CLASSES + 2U * w, sizeof master);
        state->shadow[w] = (int8_t)(master / 256);
    }
    return FG_OK;
}

/* Moves every parameter by a hash of the step's key, its index and what the rows have collected. */
static fg_status apply(const fg_model_state *state, uint32_t rows, const fg_step *step) {
    uint32_t sum = (uint32_t)step->lr_mantissa + (uint32_t)step->lr_exponent * 65536U;
    for (uint32_t r = 0U; r < rows; r++) {
        sum += (uint32_t)rows_of(state)[r];
    }
    for (uint32_t b = 0U; b < FAKE_CLASSES; b++) {
        int32_t bias = 0;
        memcpy(&bias, state->params + 4U * b, sizeof bias);
        bias += (int32_t)(fg_mix32(step->key + sum + b) >> 12) - (1 << 19);
        memcpy(state->params + 4U * b, &bias, sizeof bias);
    }
    for (uint32_t w = 0U; w < FAKE_WEIGHTS; w++) {
        int16_t master = 0;
        uint8_t *at = state->params + 4U * FAKE_CLASSES + 2U * w;
        memcpy(&master, at, sizeof master);
        master = (int16_t)(master + (int32_t)(fg_mix32(step->key ^ (sum + w)) & 511U) - 256);
        memcpy(at, &master, sizeof master);
    }
    return refresh(state);
}

static const fg_segment segments[2] = {
    {FG_SEGMENT_BIAS, 0U, FAKE_CLASSES},
    {FG_SEGMENT_WEIGHT, 4U * FAKE_CLASSES, FAKE_WEIGHTS},
};

static const uint8_t initial_params[FG_MODEL_PARAM_BYTES] = {0x11, 0x22, 0x33, 0x44};

const fg_model fg_generated_model = {
    .abi = FG_MODEL_ABI,
    .digest = {0xFA, 0xCE, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06},
    .arena_bytes = FG_MODEL_ARENA_BYTES,
    .param_bytes = FG_MODEL_PARAM_BYTES,
    .shadow_bytes = FG_MODEL_SHADOW_BYTES,
    .input_offset = 0U,
    .input_bytes = FG_MODEL_INPUT_BYTES,
    .output_offset = OUTPUT_AT,
    .output_bytes = FG_MODEL_OUTPUT_BYTES,
    .target_bytes = 0U,
    .batch = FG_MODEL_BATCH,
    .loss = FG_LOSS_SOFTMAX_CROSS_ENTROPY,
    .segment_count = 2U,
    .segments = segments,
    .initial_params = initial_params,
    .reset = reset,
    .forward = forward,
    .evaluate = evaluate,
    .accumulate = accumulate,
    .apply = apply,
    .refresh = refresh,
};
