/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "keep.h"
#include "work.h"

void fg_session_refuse(fg_node *node, uint32_t session, fg_error_code code, uint8_t message_id,
                       uint32_t detail) {
    fg_outbox *outbox = &node->outbox;
    if (outbox->error_waits) {
        return;
    }
    outbox->error = (fg_msg_error){(uint16_t)code, message_id, detail};
    outbox->error_session = session;
    outbox->error_waits = true;
}

static void refuse(fg_node *node, const fg_frame *frame, fg_error_code code, uint32_t detail) {
    fg_session_refuse(node, frame->session, code, frame->type, detail);
}

/* --- HelloRequest -------------------------------------------------------------------------- */

static void hello_request(fg_node *node, const fg_frame *frame) {
    fg_msg_hello_request request;
    if (fg_msg_hello_request_unpack(&request, frame->payload, frame->length) != FG_OK ||
        frame->session == 0U || request.max_payload < FG_WIRE_PAYLOAD_MIN) {
        refuse(node, frame, FG_ERROR_CODE_BAD_MESSAGE, 0U);
        return;
    }
    /* A host that speaks otherwise still learns whom it met, and tells its user. */
    if (request.version_min <= FG_WIRE_VERSION && request.version_max >= FG_WIRE_VERSION &&
        request.schema_hash == FG_SCHEMA_HASH) {
        node->payload_max = request.max_payload < FG_NODE_PAYLOAD_MAX
                                ? request.max_payload
                                : (uint16_t)FG_NODE_PAYLOAD_MAX;
    } else {
        node->payload_max = FG_NODE_PAYLOAD_DEFAULT;
    }
    if (node->session != frame->session) {
        /* Replies to the session before mean nothing in this one. */
        node->outbox.status = false;
        node->outbox.ack = false;
        node->outbox.error_waits = false;
    }
    node->session = frame->session;
    node->outbox.hello = true;
    fg_work_renew_samples(node);
}

/* --- RoundOpen ----------------------------------------------------------------------------- */

uint32_t fg_session_judge(const fg_node *node, const fg_msg_round_open *terms, uint32_t *detail) {
    const fg_model *model = node->config.model;
    const bool train = (terms->work & FG_WORK_TRAIN) != 0U;
    const bool evaluate = (terms->work & FG_WORK_EVALUATE) != 0U;
    const bool measure = terms->work == FG_WORK_MEASURE;
    *detail = 0U;
    if (terms->round == 0U || (!train && !evaluate && !measure) ||
        (!measure && (terms->work & ~(uint32_t)(FG_WORK_TRAIN | FG_WORK_EVALUATE)) != 0U)) {
        return FG_ERROR_CODE_BAD_MESSAGE;
    }
    if (node->problem != 0U && node->problem != FG_ERROR_CODE_NO_DATA) {
        return node->problem;
    }
    if (!fg_same_bytes(terms->model_digest, model->digest, sizeof model->digest) ||
        terms->blob_bytes != model->param_bytes) {
        *detail = model->param_bytes;
        return FG_ERROR_CODE_WRONG_MODEL;
    }
    if (model->loss == FG_LOSS_NONE || (measure && model->range_count == 0U)) {
        return FG_ERROR_CODE_UNSUPPORTED;
    }
    /* A device without held-out samples can still train: its update says that it evaluated none. */
    const bool trains = train || measure;
    if ((trains && node->image.train.count == 0U) || (!trains && node->image.eval.count == 0U)) {
        return FG_ERROR_CODE_NO_DATA;
    }
    if (train && (terms->batch == 0U || terms->batch > model->batch || terms->epochs == 0U ||
                  terms->lr_mantissa < (1U << 14) || terms->lr_mantissa >= (1U << 15))) {
        *detail = model->batch;
        return FG_ERROR_CODE_BAD_MESSAGE;
    }
    return 0U;
}

void fg_session_pack_terms(uint8_t *packed, const fg_msg_round_open *terms) {
    (void)fg_msg_round_open_pack(packed, terms);
}

fg_status fg_session_unpack_terms(fg_msg_round_open *terms, const uint8_t *packed, size_t count) {
    return fg_msg_round_open_unpack(terms, packed, count);
}

static bool same_terms(const fg_msg_round_open *a, const fg_msg_round_open *b) {
    uint8_t packed_a[FG_MSG_ROUND_OPEN_BYTES];
    uint8_t packed_b[FG_MSG_ROUND_OPEN_BYTES];
    fg_session_pack_terms(packed_a, a);
    fg_session_pack_terms(packed_b, b);
    return fg_same_bytes(packed_a, packed_b, sizeof packed_a);
}

static void begin_work(fg_node *node) {
    uint32_t detail = 0U;
    fg_work_renew_samples(node);
    const uint32_t error = fg_session_judge(node, &node->terms, &detail);
    if (error != 0U) { /* a reset has cost it the samples that it had collected */
        node->phase = FG_PHASE_IDLE;
        fg_session_refuse(node, node->session, (fg_error_code)error, FG_MSG_ROUND_OPEN, detail);
        return;
    }
    const fg_status status = fg_work_begin(node);
    if (status != FG_OK) {
        node->phase = FG_PHASE_IDLE;
        fg_session_refuse(node, node->session, FG_ERROR_CODE_FAILED, FG_MSG_ROUND_OPEN,
                          (uint32_t)status);
        return;
    }
    node->phase = fg_work_first(node);
}

/* The host asks again for a round that is under way: tell it how far we are, and if the update is
 * ready send it again. Another session knows nothing of what an earlier one has acknowledged, and a
 * host that has acknowledged everything would not ask. */
static void resume_round(fg_node *node) {
    const bool anew = node->round_session != node->session;
    node->round_session = node->session;
    node->outbox.ack = true;
    if (node->phase == FG_PHASE_RECEIVING && fg_receiver_complete(&node->receiver)) {
        begin_work(node); /* they were all there when a reset came */
        return;
    }
    if (node->phase != FG_PHASE_SENDING && node->phase != FG_PHASE_DONE) {
        return;
    }
    if (anew || fg_sender_done(&node->sender)) {
        fg_sender_start(&node->sender, (uint16_t)node->terms.round, node->update.total,
                        node->payload_max);
    } else {
        fg_sender_resume(&node->sender, node->sender.base);
    }
    node->phase = FG_PHASE_SENDING;
}

static void round_open(fg_node *node, const fg_frame *frame) {
    fg_msg_round_open terms;
    if (fg_session_unpack_terms(&terms, frame->payload, frame->length) != FG_OK) {
        refuse(node, frame, FG_ERROR_CODE_BAD_MESSAGE, 0U);
        return;
    }
    if (node->phase != FG_PHASE_IDLE && same_terms(&terms, &node->terms)) {
        resume_round(node);
        return;
    }
    fg_work_renew_samples(node);
    uint32_t detail = 0U;
    const uint32_t error = fg_session_judge(node, &terms, &detail);
    if (error != 0U) {
        refuse(node, frame, (fg_error_code)error, detail);
        return;
    }
    /* Also in the middle of another round: the host alone knows which one still counts. */
    node->terms = terms;
    node->round_session = node->session;
    node->phase = FG_PHASE_RECEIVING;
    node->blob_crc = 0U;
    node->outbox.ack = false;
    node->work.steps = 0U;
    fg_receiver_start(&node->receiver, (uint16_t)terms.round, node->config.base, terms.blob_bytes);
    fg_keep_round(node);
    if (terms.blob_bytes == 0U) {
        node->outbox.ack = true;
        begin_work(node);
    }
}

/* --- Chunk, Ack ---------------------------------------------------------------------------- */

static void chunk(fg_node *node, const fg_frame *frame) {
    fg_msg_chunk piece;
    if (fg_msg_chunk_unpack(&piece, frame->payload, frame->length) != FG_OK) {
        refuse(node, frame, FG_ERROR_CODE_BAD_MESSAGE, 0U);
        return;
    }
    if (node->phase == FG_PHASE_IDLE) {
        refuse(node, frame, FG_ERROR_CODE_WRONG_ROUND, node->terms.round);
        return;
    }
    const uint32_t before = node->receiver.next_offset;
    uint32_t todo = 0U;
    const fg_status status = fg_receiver_accept(&node->receiver, &piece, &todo);
    if (status != FG_OK) {
        const bool other = status == FG_ERR_STATE;
        refuse(node, frame, other ? FG_ERROR_CODE_WRONG_ROUND : FG_ERROR_CODE_BAD_MESSAGE,
               other ? node->terms.round : node->terms.blob_bytes);
        return;
    }
    node->blob_crc =
        fg_crc32(node->blob_crc, node->config.base + before, node->receiver.next_offset - before);
    if ((todo & FG_RECEIVER_COMPLETE) != 0U && node->blob_crc != node->terms.blob_crc) {
        refuse(node, frame, FG_ERROR_CODE_BAD_DIGEST, node->blob_crc);
        fg_receiver_start(&node->receiver, node->receiver.transfer, node->config.base,
                          node->terms.blob_bytes);
        fg_keep_round(node);
        node->blob_crc = 0U;
        return;
    }
    fg_keep_parameters(node);
    if ((todo & FG_RECEIVER_ACK) != 0U) {
        node->outbox.ack = true;
    }
    if ((todo & FG_RECEIVER_COMPLETE) != 0U) {
        begin_work(node);
    }
}

static void ack(fg_node *node, const fg_frame *frame) {
    fg_msg_ack message;
    if (fg_msg_ack_unpack(&message, frame->payload, frame->length) != FG_OK) {
        refuse(node, frame, FG_ERROR_CODE_BAD_MESSAGE, 0U);
        return;
    }
    if (node->phase != FG_PHASE_SENDING || !node->ready) {
        return; /* of a round that is over, or repeated */
    }
    const fg_status status = fg_sender_acknowledge(&node->sender, &message);
    if (status != FG_OK) {
        const bool other = status == FG_ERR_STATE;
        refuse(node, frame, other ? FG_ERROR_CODE_WRONG_ROUND : FG_ERROR_CODE_BAD_MESSAGE,
               other ? node->terms.round : node->update.total);
    } else if (fg_sender_done(&node->sender)) {
        node->phase = FG_PHASE_DONE;
    }
}

/* --- Receipt, Abort ------------------------------------------------------------------------ */

/* Both end a round whatever it was doing. Of a round that is not the present one they ask for
 * nothing that is not already so. */
static void end_round(fg_node *node, uint32_t round) {
    if (round == node->terms.round) {
        node->phase = FG_PHASE_IDLE;
        node->outbox.ack = false;
        fg_keep_release(node);
    }
}

static void receipt(fg_node *node, const fg_frame *frame) {
    fg_msg_receipt message;
    if (fg_msg_receipt_unpack(&message, frame->payload, frame->length) == FG_OK) {
        end_round(node, message.round);
    } else {
        refuse(node, frame, FG_ERROR_CODE_BAD_MESSAGE, 0U);
    }
}

static void abort_round(fg_node *node, const fg_frame *frame) {
    fg_msg_abort message;
    if (fg_msg_abort_unpack(&message, frame->payload, frame->length) == FG_OK) {
        end_round(node, message.round);
    } else {
        refuse(node, frame, FG_ERROR_CODE_BAD_MESSAGE, 0U);
    }
}

void fg_session_handle(fg_node *node, const fg_frame *frame) {
    if (frame->type == FG_MSG_HELLO_REQUEST) {
        hello_request(node, frame);
        return;
    }
    if (frame->session == 0U || frame->session != node->session) {
        refuse(node, frame, FG_ERROR_CODE_NO_SESSION, node->session);
        return;
    }
    switch (frame->type) {
    case FG_MSG_STATUS_REQUEST:
        node->outbox.status = true;
        break;
    case FG_MSG_ROUND_OPEN:
        round_open(node, frame);
        break;
    case FG_MSG_CHUNK:
        chunk(node, frame);
        break;
    case FG_MSG_ACK:
        ack(node, frame);
        break;
    case FG_MSG_RECEIPT:
        receipt(node, frame);
        break;
    case FG_MSG_ABORT:
        abort_round(node, frame);
        break;
    default:
        refuse(node, frame, FG_ERROR_CODE_BAD_MESSAGE, 0U);
        break;
    }
}
