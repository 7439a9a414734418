/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cobs.h"
#include "fleetgrad/fg_bytes.h"
#include "fleetgrad/fg_wire.h"

fg_status fg_frame_encode(const fg_frame *frame, uint8_t *buffer, size_t capacity,
                          size_t *encoded) {
    const size_t length = frame->length;
    if (length > FG_WIRE_PAYLOAD_MAX || capacity < FG_FRAME_BUFFER_BYTES(length)) {
        return FG_ERR_SIZE;
    }
    uint8_t *const raw = buffer + FG_FRAME_HEADROOM;
    uint8_t *const payload = fg_frame_payload(buffer);
    /* First of all: the payload may lie where the header or the stuffed frame will. */
    if (length > 0U && frame->payload != payload) {
        memmove(payload, frame->payload, length);
    }
    raw[0] = FG_WIRE_VERSION;
    raw[1] = frame->type;
    raw[2] = frame->incompat;
    raw[3] = frame->compat;
    fg_store_u32(raw + 4, frame->session);
    fg_store_u16(raw + 8, frame->seq);
    fg_store_u16(raw + 10, frame->length);
    const size_t covered = FG_FRAME_HEADER_BYTES + length;
    fg_store_u32(raw + covered, fg_crc32(0U, raw, covered));
    const size_t stuffed = fg_cobs_encode(buffer, raw, FG_FRAME_RAW_BYTES(length));
    buffer[stuffed] = FG_FRAME_DELIMITER;
    *encoded = stuffed + 1U;
    return FG_OK;
}

static void start_over(fg_frame_decoder *decoder) {
    decoder->used = 0;
    decoder->code = 0;
    decoder->left = 0;
    decoder->discard = false;
}

void fg_frame_decoder_init(fg_frame_decoder *decoder, uint8_t *buffer, uint16_t capacity) {
    decoder->buffer = buffer;
    decoder->capacity = capacity;
    decoder->frames_bad = 0;
    start_over(decoder);
}

/* What lies between two delimiters, without its stuffing: is it a frame? */
static bool parse(const uint8_t *raw, size_t used, fg_frame *frame) {
    if (used < FG_FRAME_RAW_BYTES(0U)) {
        return false;
    }
    frame->type = raw[1];
    frame->incompat = raw[2];
    frame->compat = raw[3];
    frame->session = fg_load_u32(raw + 4);
    frame->seq = fg_load_u16(raw + 8);
    frame->length = fg_load_u16(raw + 10);
    frame->payload = raw + FG_FRAME_HEADER_BYTES;
    const size_t covered = used - FG_FRAME_CRC_BYTES;
    return raw[0] == FG_WIRE_VERSION && frame->incompat == 0U &&
           FG_FRAME_HEADER_BYTES + (size_t)frame->length == covered &&
           fg_load_u32(raw + covered) == fg_crc32(0U, raw, covered);
}

static void take(fg_frame_decoder *decoder, uint8_t byte) {
    if (decoder->left > 0U) {
        decoder->left--;
    } else {
        /* A code. Each block but a full one stands for its bytes and a zero; the zero is due only
         * now, because none follows the last block. */
        const bool zero = decoder->code != 0U && decoder->code != 0xFFU;
        decoder->code = byte;
        decoder->left = (uint8_t)(byte - 1U);
        if (!zero) {
            return;
        }
        byte = 0;
    }
    if (decoder->used < decoder->capacity) {
        decoder->buffer[decoder->used] = byte;
        decoder->used++;
    } else {
        decoder->discard = true;
    }
}

bool fg_frame_decoder_push(fg_frame_decoder *decoder, uint8_t byte, fg_frame *frame) {
    if (byte != FG_FRAME_DELIMITER) {
        take(decoder, byte);
        return false;
    }
    bool intact = false;
    if (decoder->code != 0U) {
        intact = !decoder->discard && decoder->left == 0U &&
                 parse(decoder->buffer, decoder->used, frame);
        if (!intact) {
            decoder->frames_bad++;
        }
    }
    start_over(decoder);
    return intact;
}
