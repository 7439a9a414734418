/* SPDX-License-Identifier: Apache-2.0 */
#include "update.h"

#include "fleetgrad/fg_train.h"

/* The CRC covers everything but itself. */
#define CRC_BYTES 4U

/* Bytes per step of the CRC: on the stack, and the piece of work between two looks at the line. */
#define SEAL_BYTES 64U

void fg_update_begin(fg_update *update, const fg_node_config *config,
                     const fg_msg_update_header *head, bool trained) {
    (void)fg_msg_update_header_pack(update->header, head);
    update->segments = 0U;
    update->total = FG_MSG_UPDATE_HEADER_BYTES;
    update->summed = CRC_BYTES;
    update->crc = 0U;
    if (trained) {
        const fg_model *model = config->model;
        update->total += model->segment_count;
        for (uint32_t s = 0U; s < model->segment_count; s++) {
            update->total += model->segments[s].count;
        }
    }
}

static uint32_t segments_of(const fg_update *update, const fg_node_config *config) {
    return update->total > FG_MSG_UPDATE_HEADER_BYTES ? config->model->segment_count : 0U;
}

bool fg_update_seal(fg_update *update, const fg_node_config *config) {
    if (update->segments < segments_of(update, config)) {
        const fg_segment *segment = &config->model->segments[update->segments];
        update->exponents[update->segments] =
            fg_delta_exponent(fg_delta_peak(segment, config->state.params, config->base));
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

/* Deltas `from` .. `from` + `count` - 1, counted over all segments. */
static void read_deltas(const fg_update *update, const fg_node_config *config, uint32_t from,
                        uint8_t *out, uint32_t count) {
    uint32_t first = 0U; /* of the segment */
    for (uint32_t s = 0U; s < update->segments && count > 0U; s++) {
        const fg_segment *segment = &config->model->segments[s];
        while (count > 0U && from - first < segment->count) {
            *out++ = (uint8_t)fg_delta_value(segment, config->state.params, config->base,
                                             from - first, update->exponents[s]);
            from++;
            count--;
        }
        first += segment->count;
    }
}

void fg_update_read(const fg_update *update, const fg_node_config *config, uint32_t offset,
                    uint8_t *out, uint32_t count) {
    const uint32_t deltas = FG_MSG_UPDATE_HEADER_BYTES + update->segments;
    while (count > 0U && offset < deltas) {
        *out++ = offset < FG_MSG_UPDATE_HEADER_BYTES
                     ? update->header[offset]
                     : update->exponents[offset - FG_MSG_UPDATE_HEADER_BYTES];
        offset++;
        count--;
    }
    if (count > 0U) {
        read_deltas(update, config, offset - deltas, out, count);
    }
}
