/* SPDX-License-Identifier: Apache-2.0 */
#include "fleetgrad/fg_node.h"

#include <string.h>

#include "keep.h"
#include "session.h"
#include "update.h"
#include "work.h"

_Static_assert(FG_NODE_PAYLOAD_MAX >= FG_WIRE_PAYLOAD_MIN &&
                   FG_NODE_PAYLOAD_MAX <= FG_WIRE_PAYLOAD_MAX,
               "the wire sets the bounds of the payload");

/* --- Checks at boot ------------------------------------------------------------------------ */

static fg_status check_model(const fg_model *model) {
    if (model->abi != FG_MODEL_ABI) {
        return FG_ERR_VERSION;
    }
    return model->segment_count <= FG_NODE_SEGMENTS_MAX ? FG_OK : FG_ERR_SIZE;
}

/* Labels below this one are classes of the model. */
static uint32_t classes_of(const fg_model *model) {
    return model->loss == FG_LOSS_BINARY_CROSS_ENTROPY ? 2U : model->output_bytes;
}

/* Are these samples of this model? */
static fg_status check_samples(const fg_model *model, const fg_image *image) {
    if (image->sample_bytes != model->input_bytes) {
        return FG_ERR_MODEL;
    }
    if (model->target_bytes != 0U) {
        const uint32_t bytes =
            image->target_kind == FG_TARGET_INPUT ? image->sample_bytes : image->target_bytes;
        return image->target_kind != FG_TARGET_LABEL && bytes == model->target_bytes ? FG_OK
                                                                                     : FG_ERR_MODEL;
    }
    if (image->target_kind != FG_TARGET_LABEL) {
        return model->loss == FG_LOSS_NONE ? FG_OK : FG_ERR_MODEL;
    }
    const uint32_t classes = classes_of(model);
    const fg_samples *parts[2] = {&image->train, &image->eval};
    for (uint32_t p = 0U; p < 2U; p++) {
        for (uint32_t i = 0U; i < parts[p]->count; i++) {
            if (fg_image_label(image, parts[p], i) >= classes) {
                return FG_ERR_MODEL;
            }
        }
    }
    return FG_OK;
}

/* A view of the samples that the device collects itself, in place of an image. */
static fg_status open_collected(fg_node *node) {
    const fg_node_config *config = &node->config;
    const fg_reservoir *parts[2] = {config->collected, config->held_out};
    const bool labels = config->model->target_bytes == 0U;
    for (uint32_t p = 0U; p < 2U && parts[p] != NULL; p++) {
        const fg_reservoir_config *part = &parts[p]->config;
        if (part->sample_bytes != config->model->input_bytes ||
            (labels && part->classes > classes_of(config->model))) {
            return FG_ERR_MODEL;
        }
    }
    node->image.device_id = config->device_id;
    node->image.sample_bytes = config->model->input_bytes;
    node->image.target_kind = labels ? FG_TARGET_LABEL : FG_TARGET_INPUT;
    node->image.target_bytes = labels ? 1U : 0U;
    fg_work_renew_samples(node);
    return FG_OK;
}

static fg_status open_samples(fg_node *node) {
    const fg_node_config *config = &node->config;
    if (config->image == NULL && config->collected != NULL) {
        return open_collected(node);
    }
    return fg_image_open(&node->image, config->image, config->image_bytes);
}

fg_status fg_node_init(fg_node *node, const fg_node_config *config) {
    memset(node, 0, sizeof *node);
    node->config = *config;
    node->payload_max = FG_NODE_PAYLOAD_DEFAULT;
    fg_frame_decoder_init(&node->decoder, node->rx, (uint16_t)sizeof node->rx);

    fg_status status = check_model(config->model);
    if (status != FG_OK) {
        node->problem = FG_ERROR_CODE_UNSUPPORTED;
    } else {
        status = open_samples(node);
        if (status == FG_OK) {
            status = check_samples(config->model, &node->image);
        }
        if (status != FG_OK) {
            node->image.train.count = 0U;
            node->image.eval.count = 0U;
            node->problem = FG_ERROR_CODE_BAD_IMAGE;
        } else if (node->image.train.count == 0U && node->image.eval.count == 0U) {
            node->problem = FG_ERROR_CODE_NO_DATA;
        }
    }
    if (status == FG_OK) {
        fg_keep_open(node);
    }

    /* Whatever the line has seen so far ends here, and whoever listens learns of the boot. */
    node->tx[0] = FG_FRAME_DELIMITER;
    node->tx_used = 1U;
    node->outbox.hello = true;
    return status;
}

void fg_node_receive(fg_node *node, const uint8_t *bytes, size_t count) {
    for (size_t i = 0U; i < count; i++) {
        fg_frame frame;
        if (fg_frame_decoder_push(&node->decoder, bytes[i], &frame)) {
            fg_session_handle(node, &frame);
        }
    }
}

/* --- Frames out ---------------------------------------------------------------------------- */

static size_t pack_hello(const fg_node *node, uint8_t *payload) {
    const bool holds = node->phase != FG_PHASE_IDLE;
    const bool made = node->phase == FG_PHASE_SENDING || node->phase == FG_PHASE_DONE;
    fg_msg_hello hello = {
        .version_min = FG_WIRE_VERSION,
        .version_max = FG_WIRE_VERSION,
        .max_payload = FG_NODE_PAYLOAD_MAX,
        .schema_hash = FG_SCHEMA_HASH,
        .device_id = node->image.device_id,
        .firmware_hash = node->config.firmware_hash,
        .boot_count = node->config.boot_count,
        .train_samples = node->image.train.count,
        .eval_samples = node->image.eval.count,
        .round = holds ? node->terms.round : 0U,
        .problem = node->problem,
        .version_tag = holds ? node->terms.version_tag : 0U,
        .update_crc = made && node->ready ? fg_load_u32(node->update.header) : 0U,
    };
    fg_keep_describe(node, &hello);
    memcpy(hello.model_digest, node->config.model->digest, sizeof hello.model_digest);
    return fg_msg_hello_pack(payload, &hello);
}

static size_t pack_status(const fg_node *node, uint8_t *payload) {
    const bool up = node->phase == FG_PHASE_SENDING || node->phase == FG_PHASE_DONE;
    const uint32_t sent = node->sealed ? node->sender.base : 0U;
    const fg_msg_status status = {
        .phase = (uint8_t)node->phase,
        .round = node->terms.round,
        .next_offset = up ? sent : node->receiver.next_offset,
        .steps = node->work.steps,
        .frames_bad = node->decoder.frames_bad,
    };
    return fg_msg_status_pack(payload, &status);
}

static bool may_send_update(const fg_node *node) {
    return node->phase == FG_PHASE_SENDING && node->ready && node->session != 0U &&
           node->round_session == node->session;
}

static void fail_round(fg_node *node, fg_status status) {
    node->phase = FG_PHASE_IDLE;
    fg_session_refuse(node, node->session, FG_ERROR_CODE_FAILED, FG_MSG_ROUND_OPEN,
                      (uint32_t)status);
}

/* 0: what was kept cannot be read any more. */
static size_t pack_chunk(fg_node *node, uint8_t *payload, const fg_slice *slice) {
    const fg_msg_chunk chunk = {.transfer = node->sender.transfer,
                                .offset = slice->offset,
                                .data = payload + FG_MSG_CHUNK_FIXED_BYTES,
                                .data_bytes = slice->count};
    const fg_status status =
        fg_keep_read(node, slice->offset, payload + FG_MSG_CHUNK_FIXED_BYTES, slice->count);
    if (status != FG_OK) {
        fail_round(node, status);
        return 0U;
    }
    return fg_msg_chunk_pack(payload, &chunk);
}

/* Builds the most urgent frame that waits; false when there is none. */
static bool next_frame(fg_node *node, uint32_t now_ms) {
    fg_outbox *outbox = &node->outbox;
    uint8_t *payload = fg_frame_payload(node->tx);
    fg_slice slice = {0U, 0U};
    size_t length = 0U;
    fg_frame frame = {.session = node->session, .seq = node->seq, .payload = payload};
    if (outbox->hello) {
        outbox->hello = false;
        frame.type = FG_MSG_HELLO;
        length = pack_hello(node, payload);
    } else if (outbox->error_waits) {
        outbox->error_waits = false;
        frame.type = FG_MSG_ERROR;
        frame.session = outbox->error_session;
        length = fg_msg_error_pack(payload, &outbox->error);
    } else if (outbox->status) {
        outbox->status = false;
        frame.type = FG_MSG_STATUS;
        length = pack_status(node, payload);
    } else if (outbox->ack) {
        const fg_msg_ack ack = fg_receiver_ack(&node->receiver);
        outbox->ack = false;
        frame.type = FG_MSG_ACK;
        length = fg_msg_ack_pack(payload, &ack);
    } else if (may_send_update(node) && fg_sender_poll(&node->sender, now_ms, &slice)) {
        frame.type = FG_MSG_CHUNK;
        length = pack_chunk(node, payload, &slice);
        if (length == 0U) {
            return false;
        }
    } else {
        return false;
    }
    frame.length = (uint16_t)length;
    node->tx_sent = 0U;
    /* The buffer takes the largest payload there is. */
    if (fg_frame_encode(&frame, node->tx, sizeof node->tx, &node->tx_used) != FG_OK) {
        node->tx_used = 0U;
    }
    node->seq++;
    return true;
}

static bool frame_waits(const fg_node *node, uint32_t now_ms) {
    const fg_outbox *outbox = &node->outbox;
    return outbox->hello || outbox->error_waits || outbox->status || outbox->ack ||
           (may_send_update(node) && fg_sender_wait(&node->sender, now_ms) == 0U);
}

size_t fg_node_transmit(fg_node *node, uint8_t *bytes, size_t capacity) {
    const size_t left = node->tx_used - node->tx_sent;
    const size_t count = left < capacity ? left : capacity;
    memcpy(bytes, node->tx + node->tx_sent, count);
    node->tx_sent += count;
    return count;
}

/* --- Work ---------------------------------------------------------------------------------- */

static bool computes(const fg_node *node) {
    return node->phase == FG_PHASE_EVALUATING || node->phase == FG_PHASE_MEASURING ||
           node->phase == FG_PHASE_TRAINING || (node->phase == FG_PHASE_SENDING && !node->ready);
}

static void begin_update(fg_node *node) {
    const fg_msg_update_header head = fg_work_summary(node);
    fg_update_begin(&node->update, &node->config, &head, node->terms.work, node->work.measured);
    node->sealed = false;
    node->ready = false;
    node->phase = FG_PHASE_SENDING;
}

/* One piece of the round's work; the phase moves on when its last piece is done. */
static void work(fg_node *node) {
    if (node->phase == FG_PHASE_SENDING) {
        node->sealed = node->sealed || fg_update_seal(&node->update, &node->config);
        node->ready = node->sealed && fg_keep_update(node);
        if (node->ready) {
            fg_sender_start(&node->sender, (uint16_t)node->terms.round, node->update.total,
                            node->payload_max);
        }
        return;
    }
    bool more = true;
    const fg_status status = fg_work_next(node, &more);
    if (status != FG_OK) {
        fail_round(node, status);
    } else if (!more) {
        begin_update(node);
    }
}

int fg_node_poll(fg_node *node, uint32_t now_ms) {
    const bool line_free = node->tx_sent == node->tx_used;
    if (!(line_free && next_frame(node, now_ms)) && computes(node)) {
        work(node);
    }
    return computes(node) || frame_waits(node, now_ms) ? 1 : 0;
}

uint32_t fg_node_wait_ms(const fg_node *node, uint32_t now_ms) {
    if (computes(node) || frame_waits(node, now_ms)) {
        return 0U;
    }
    return may_send_update(node) ? fg_sender_wait(&node->sender, now_ms) : UINT32_MAX;
}
