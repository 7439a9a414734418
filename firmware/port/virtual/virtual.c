/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_virtual.h"

#include <stdbool.h>
#include <string.h>

#include "fleetgrad/fg_bytes.h"
#include "fleetgrad/fg_memory_flash.h"
#include "fleetgrad/fg_node.h"
#include "model.h"

#define ROUND_UP(bytes) (((bytes) + FG_ALIGNMENT - 1U) & ~(size_t)(FG_ALIGNMENT - 1U))

/* How a device's memory is cut up. The node comes first: it carries the pointers to the rest. */
#define FLASH_AT  ROUND_UP(sizeof(fg_node))
#define ARENA_AT  (FLASH_AT + ROUND_UP(sizeof(fg_memory_flash)))
#define PARAMS_AT (ARENA_AT + ROUND_UP((size_t)FG_MODEL_ARENA_BYTES))
#define BASE_AT   (PARAMS_AT + ROUND_UP((size_t)FG_MODEL_PARAM_BYTES))
#define SHADOW_AT (BASE_AT + ROUND_UP((size_t)FG_MODEL_PARAM_BYTES))
#define STATE_AT  (SHADOW_AT + ROUND_UP((size_t)FG_MODEL_SHADOW_BYTES))
#define END_AT    (STATE_AT + ROUND_UP((size_t)FG_MODEL_PERSISTENT_BYTES))

static const fg_model *const model = &fg_generated_model;

size_t fg_virtual_bytes(void) {
    return END_AT;
}

static fg_model_state state_of(void *memory) {
    uint8_t *bytes = memory;
    const fg_model_state state = {.arena = bytes + ARENA_AT,
                                  .params = bytes + PARAMS_AT,
                                  .shadow = (int8_t *)(bytes + SHADOW_AT),
                                  .persistent = bytes + STATE_AT};
    return state;
}

static int32_t init(void *memory, size_t bytes, fg_node_config *config) {
    if (bytes < END_AT) {
        return FG_ERR_SIZE;
    }
    config->model = model;
    config->state = state_of(memory);
    config->base = (uint8_t *)memory + BASE_AT;
    memset((uint8_t *)memory + ARENA_AT, 0, END_AT - ARENA_AT);
    return fg_node_init(memory, config);
}

int32_t fg_virtual_init(void *memory, size_t bytes, const uint8_t *image, size_t image_bytes,
                        uint32_t boot_count, uint32_t firmware_hash) {
    fg_node_config config = {.image = image,
                             .image_bytes = image_bytes,
                             .boot_count = boot_count,
                             .firmware_hash = firmware_hash};
    return init(memory, bytes, &config);
}

int32_t fg_virtual_init_with_flash(void *memory, size_t bytes, const uint8_t *image,
                                   size_t image_bytes, uint32_t boot_count, uint32_t firmware_hash,
                                   uint8_t *flash, uint32_t flash_bytes) {
    if (bytes < END_AT) {
        return FG_ERR_SIZE;
    }
    fg_memory_flash *kept = (fg_memory_flash *)((uint8_t *)memory + FLASH_AT);
    fg_memory_flash_init(kept, flash, flash_bytes);
    fg_node_config config = {.image = image,
                             .image_bytes = image_bytes,
                             .flash = &kept->flash,
                             .boot_count = boot_count,
                             .firmware_hash = firmware_hash};
    return init(memory, bytes, &config);
}

void fg_virtual_receive(void *memory, const uint8_t *bytes, size_t count) {
    fg_node_receive(memory, bytes, count);
}

size_t fg_virtual_run(void *memory, uint32_t now_ms, uint32_t pieces, uint8_t *out, size_t capacity,
                      int32_t *more) {
    size_t used = fg_node_transmit(memory, out, capacity);
    bool waits = true;
    for (uint32_t i = 0U; i < pieces && used < capacity && waits; i++) {
        waits = fg_node_poll(memory, now_ms) != 0;
        const size_t sent = fg_node_transmit(memory, out + used, capacity - used);
        used += sent;
    }
    *more = waits ? 1 : 0;
    return used;
}

int32_t fg_virtual_poll(void *memory, uint32_t now_ms) {
    return fg_node_poll(memory, now_ms);
}

size_t fg_virtual_transmit(void *memory, uint8_t *bytes, size_t capacity) {
    return fg_node_transmit(memory, bytes, capacity);
}

uint32_t fg_virtual_wait_ms(const void *memory, uint32_t now_ms) {
    return fg_node_wait_ms(memory, now_ms);
}

size_t fg_virtual_decode(const uint8_t *stream, size_t count, uint8_t *frames,
                         uint32_t *frames_bad) {
    uint8_t work[FG_FRAME_RAW_BYTES(FG_WIRE_PAYLOAD_MAX)];
    fg_frame_decoder decoder;
    fg_frame frame;
    size_t used = 0U;
    fg_frame_decoder_init(&decoder, work, (uint16_t)sizeof work);
    for (size_t i = 0U; i < count; i++) {
        if (fg_frame_decoder_push(&decoder, stream[i], &frame)) {
            const uint32_t bytes = FG_FRAME_HEADER_BYTES + (uint32_t)frame.length;
            fg_store_u32(frames + used, bytes);
            memcpy(frames + used + 4U, frame.payload - FG_FRAME_HEADER_BYTES, bytes);
            used += 4U + bytes;
        }
    }
    *frames_bad = decoder.frames_bad;
    return used;
}

const fg_model *fg_virtual_model(void) {
    return model;
}

int32_t fg_virtual_load(void *memory, size_t bytes) {
    if (bytes < END_AT) {
        return FG_ERR_SIZE;
    }
    memset(memory, 0, END_AT);
    const fg_model_state state = state_of(memory);
    const fg_status status = model->reset(&state);
    if (status != FG_OK || model->param_bytes == 0U) {
        return status;
    }
    return fg_virtual_set_params(memory, model->initial_params);
}

int32_t fg_virtual_forward(void *memory, const int8_t *inputs, int8_t *outputs, uint32_t count) {
    const fg_model_state state = state_of(memory);
    fg_status status = FG_OK;
    for (uint32_t i = 0U; i < count && status == FG_OK; i++) {
        memcpy(state.arena + model->input_offset, inputs + (size_t)i * model->input_bytes,
               model->input_bytes);
        status = model->forward(&state);
        memcpy(outputs + (size_t)i * model->output_bytes, state.arena + model->output_offset,
               model->output_bytes);
    }
    return status;
}

int32_t fg_virtual_measure(void *memory, const int8_t *inputs, uint32_t count, uint32_t *clipped) {
    fg_model_state state = state_of(memory);
    const size_t bytes = model->range_count * sizeof(uint32_t);
    fg_status status = FG_OK;
    if (bytes == 0U) {
        return FG_OK;
    }
    uint8_t *counters = state.persistent + model->clipped_offset;
    state.measure = true;
    memset(counters, 0, bytes);
    for (uint32_t i = 0U; i < count && status == FG_OK; i++) {
        memcpy(state.arena + model->input_offset, inputs + (size_t)i * model->input_bytes,
               model->input_bytes);
        status = model->forward(&state);
    }
    memcpy(clipped, counters, bytes);
    return status;
}

int32_t fg_virtual_evaluate(void *memory, const int8_t *input, uint32_t label, const int8_t *values,
                            fg_metrics *metrics) {
    const fg_model_state state = state_of(memory);
    const fg_target target = {label, values};
    memcpy(state.arena + model->input_offset, input, model->input_bytes);
    return model->evaluate(&state, &target, metrics);
}

int32_t fg_virtual_accumulate(void *memory, const int8_t *input, uint32_t label,
                              const int8_t *values, uint32_t row, fg_metrics *metrics) {
    const fg_model_state state = state_of(memory);
    const fg_target target = {label, values};
    memcpy(state.arena + model->input_offset, input, model->input_bytes);
    return model->accumulate(&state, &target, row, metrics);
}

int32_t fg_virtual_apply(void *memory, uint32_t rows, const fg_step *step) {
    const fg_model_state state = state_of(memory);
    return model->apply(&state, rows, step);
}

void fg_virtual_get_params(const void *memory, uint8_t *params) {
    memcpy(params, (const uint8_t *)memory + PARAMS_AT, model->param_bytes);
}

int32_t fg_virtual_set_params(void *memory, const uint8_t *params) {
    const fg_model_state state = state_of(memory);
    memcpy(state.params, params, model->param_bytes);
    return model->param_bytes == 0U ? FG_OK : model->refresh(&state);
}
