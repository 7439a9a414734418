/* SPDX-License-Identifier: Apache-2.0 */
#include "update.h"

#include "fleetgrad/fg_train.h"
#include "quotient.h"

/* The CRC covers everything but itself. */
#define CRC_BYTES 4U

/* Bytes per step of the CRC: on the stack, and the piece of work between two looks at the line. */
#define SEAL_BYTES 64U

/* The blob's parts: header, exponents, deltas, clipped outputs, saturated parameters. */

static uint32_t range_bytes(const fg_model *model) {
    return model->range_count > 0U ? 2U + 2U * model->range_count : 0U;
}

static uint32_t delta_count(const fg_model *model) {
    uint32_t deltas = 0U;
    for (uint32_t s = 0U; s < model->segment_count; s++) {
        deltas += model->segments[s].count;
    }
    return deltas;
}

uint32_t fg_update_bytes(const fg_model *model, uint8_t work) {
    const bool trained = (work & FG_WORK_TRAIN) != 0U;
    const bool measured = trained || (work & FG_WORK_MEASURE) != 0U;
    return FG_MSG_UPDATE_HEADER_BYTES +
           (trained ? 2U * model->segment_count + delta_count(model) : 0U) +
           (measured ? range_bytes(model) : 0U);
}

void fg_update_begin(fg_update *update, const fg_node_config *config,
                     const fg_msg_update_header *head, uint8_t work, uint32_t measured) {
    const fg_model *model = config->model;
    (void)fg_msg_update_header_pack(update->header, head);
    update->segments = 0U;
    update->deltas = (work & FG_WORK_TRAIN) != 0U ? delta_count(model) : 0U;
    update->measured = measured;
    update->total = fg_update_bytes(model, work);
    update->summed = CRC_BYTES;
    update->crc = 0U;
}

static uint32_t segments_of(const fg_update *update, const fg_node_config *config) {
    return update->deltas > 0U ? config->model->segment_count : 0U;
}

bool fg_update_seal(fg_update *update, const fg_node_config *config) {
    if (update->segments < segments_of(update, config)) {
        const fg_segment *segment = &config->model->segments[update->segments];
        const uint8_t *params = config->state.params;
        const uint32_t saturated = fg_saturated(segment, params, config->base);
        update->exponents[update->segments] =
            fg_delta_exponent(fg_delta_peak(segment, params, config->base));
        update->saturated[update->segments] =
            saturated > UINT8_MAX ? (uint8_t)UINT8_MAX : (uint8_t)saturated;
        update->segments++;
        return false;
    }
    uint8_t piece[SEAL_BYTES];
    const uint32_t left = update->total - update->summed;
    const uint32_t count = left < SEAL_BYTES ? left : SEAL_BYTES;
    fg_update_read(update, config, update->summed, piece, count);
    update->crc = fg_crc32(update->crc, piece, count);
    update->summed += count;
    if (update->summed < update->total) {
        return false;
    }
    fg_store_u32(update->header, update->crc);
    return true;
}

uint16_t fg_update_clipped(const fg_node_config *config, uint32_t measured, uint32_t range) {
    const fg_model *model = config->model;
    const uint8_t *counters = config->state.persistent + model->clipped_offset;
    const uint64_t clipped = fg_load_u32(counters + 4U * range);
    return fg_quotient(clipped << 16, measured * model->range_values[range]);
}

/* Byte `at` of the number of samples measured, and of the share of clipped outputs of each range.
 */
static uint8_t range_byte(const fg_update *update, const fg_node_config *config, uint32_t at) {
    const uint32_t place = at / 2U;
    const uint32_t number =
        place == 0U ? update->measured : fg_update_clipped(config, update->measured, place - 1U);
    return (uint8_t)(number >> (8U * (at % 2U)));
}

/* Delta `index`, counted over all segments. */
static uint8_t delta(const fg_update *update, const fg_node_config *config, uint32_t index) {
    const fg_segment *segment = config->model->segments;
    uint32_t s = 0U;
    while (index >= segment[s].count) {
        index -= segment[s].count;
        s++;
    }
    return (uint8_t)fg_delta_value(&segment[s], config->state.params, config->base, index,
                                   update->exponents[s]);
}

static uint8_t byte(const fg_update *update, const fg_node_config *config, uint32_t at) {
    if (at < FG_MSG_UPDATE_HEADER_BYTES) {
        return update->header[at];
    }
    at -= FG_MSG_UPDATE_HEADER_BYTES;
    if (at < update->segments) {
        return update->exponents[at];
    }
    at -= update->segments;
    if (at < update->deltas) {
        return delta(update, config, at);
    }
    at -= update->deltas;
    const uint32_t ranges = range_bytes(config->model);
    return at < ranges ? range_byte(update, config, at) : update->saturated[at - ranges];
}

void fg_update_read(const fg_update *update, const fg_node_config *config, uint32_t offset,
                    uint8_t *out, uint32_t count) {
    for (uint32_t i = 0U; i < count; i++) {
        out[i] = byte(update, config, offset + i);
    }
}
