/* SPDX-License-Identifier: Apache-2.0 */

/* Bytes as a line may bring them, through everything in the wire code that meets them: decoder,
 * messages, receiver, sender, encoder. Aborts when a promise of the headers is broken. The first
 * byte chooses the size of the decoder's buffer. Built for libFuzzer, or with FG_FUZZ_MAIN as a
 * program that runs the files it is given. */

#include <stdlib.h>
#include <string.h>

#include "fleetgrad/fg_transfer.h"
#include "fleetgrad/fg_wire.h"

#define TOTAL 3000U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct bench {
    fg_receiver receiver;
    fg_sender sender;
    uint8_t blob[TOTAL];
    uint32_t now_ms;
    fg_frame_decoder decoder;
    uint16_t payload;
} bench;

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

/* What was decoded is encoded again and decoded again: the same frame, in exactly sized buffers. */
static void check_round_trip(const fg_frame *frame) {
    const size_t capacity = FG_FRAME_BUFFER_BYTES(frame->length);
    uint8_t *buffer = malloc(capacity);
    const size_t raw_bytes = FG_FRAME_RAW_BYTES(frame->length);
    uint8_t *raw = malloc(raw_bytes);
    require(buffer != NULL && raw != NULL);
    size_t encoded = 0;
    require(fg_frame_encode(frame, buffer, capacity, &encoded) == FG_OK);
    require(encoded <= capacity && buffer[encoded - 1U] == FG_FRAME_DELIMITER);
    fg_frame_decoder decoder;
    fg_frame_decoder_init(&decoder, raw, (uint16_t)raw_bytes);
    fg_frame again = {.type = 0};
    bool got = false;
    for (size_t i = 0; i < encoded; i++) {
        got = fg_frame_decoder_push(&decoder, buffer[i], &again);
        require(got == (i + 1U == encoded));
    }
    require(again.type == frame->type && again.compat == frame->compat &&
            again.session == frame->session && again.seq == frame->seq &&
            again.length == frame->length &&
            memcmp(again.payload, frame->payload, frame->length) == 0);
    free(raw);
    free(buffer);
}

/* Unpacks the payload as one message; what fits is packed again to the same bytes. */
#define CHECK_MESSAGE(name)                                                                        \
    do {                                                                                           \
        fg_msg_##name message;                                                                     \
        if (fg_msg_##name##_unpack(&message, frame->payload, frame->length) == FG_OK) {            \
            uint8_t packed[FG_WIRE_PAYLOAD_MAX];                                                   \
            require(fg_msg_##name##_pack(packed, &message) == frame->length);                      \
            require(memcmp(packed, frame->payload, frame->length) == 0);                           \
        }                                                                                          \
    } while (0)

static void check_messages(const fg_frame *frame) {
    CHECK_MESSAGE(hello_request);
    CHECK_MESSAGE(hello);
    CHECK_MESSAGE(error);
    CHECK_MESSAGE(status);
    CHECK_MESSAGE(round_open);
    CHECK_MESSAGE(chunk);
    CHECK_MESSAGE(ack);
    CHECK_MESSAGE(receipt);
    CHECK_MESSAGE(abort);
    CHECK_MESSAGE(update_header);
}

static void deliver(bench *bench, const fg_frame *frame) {
    if (frame->type == FG_MSG_CHUNK) {
        fg_msg_chunk chunk;
        uint32_t todo = 0;
        const uint32_t before = bench->receiver.next_offset;
        if (fg_msg_chunk_unpack(&chunk, frame->payload, frame->length) == FG_OK &&
            fg_receiver_accept(&bench->receiver, &chunk, &todo) != FG_OK) {
            require(bench->receiver.next_offset == before && todo == 0U);
        }
        require(bench->receiver.next_offset >= before && bench->receiver.next_offset <= TOTAL);
        require((todo & FG_RECEIVER_COMPLETE) == 0U ||
                (before < TOTAL && fg_receiver_complete(&bench->receiver)));
        require(fg_receiver_ack(&bench->receiver).next_offset == bench->receiver.next_offset);
    } else if (frame->type == FG_MSG_ACK) {
        fg_msg_ack ack;
        if (fg_msg_ack_unpack(&ack, frame->payload, frame->length) == FG_OK) {
            const fg_status status = fg_sender_acknowledge(&bench->sender, &ack);
            require(status == FG_OK || status == FG_ERR_STATE || status == FG_ERR_SIZE);
        }
    } else {
        bench->now_ms += (uint32_t)frame->seq;
        fg_slice slice;
        unsigned sent = 0;
        while (fg_sender_poll(&bench->sender, bench->now_ms, &slice)) {
            require(slice.count > 0U && slice.offset + slice.count <= TOTAL);
            require(++sent <= FG_TRANSFER_WINDOW);
        }
        require(fg_sender_wait(&bench->sender, bench->now_ms) != 0U);
    }
    require(bench->sender.base <= bench->sender.next && bench->sender.next <= TOTAL);
    require(bench->sender.payload >= FG_WIRE_PAYLOAD_MIN);
}

static void push(bench *bench, uint8_t byte) {
    fg_frame frame;
    if (fg_frame_decoder_push(&bench->decoder, byte, &frame)) {
        require(frame.length <= bench->payload && frame.incompat == 0U);
        check_round_trip(&frame);
        check_messages(&frame);
        deliver(bench, &frame);
    }
}

/* Cuts the data into (type, length, payload) and sends each as a frame. */
static void push_framed(bench *bench, const uint8_t *data, size_t size) {
    uint8_t encoded[FG_FRAME_BUFFER_BYTES(255U)];
    while (size >= 2U) {
        const size_t length = data[1] < size - 2U ? data[1] : size - 2U;
        const fg_frame frame = {
            .type = data[0],
            .seq = (uint16_t)(size * 37U),
            .session = 1,
            .length = (uint16_t)length,
            .payload = data + 2,
        };
        size_t count = 0;
        require(fg_frame_encode(&frame, encoded, sizeof encoded, &count) == FG_OK);
        for (size_t i = 0; i < count; i++) {
            push(bench, encoded[i]);
        }
        data += 2U + length;
        size -= 2U + length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint16_t payloads[4] = {64, 256, 512, FG_WIRE_PAYLOAD_MAX};
    if (size == 0U) {
        return 0;
    }
    bench bench = {.now_ms = 0xFFFFF000U, .payload = payloads[data[0] & 3U]};
    const uint16_t capacity = (uint16_t)FG_FRAME_RAW_BYTES(bench.payload);
    uint8_t *buffer = malloc(capacity);
    require(buffer != NULL);
    fg_frame_decoder_init(&bench.decoder, buffer, capacity);
    fg_receiver_start(&bench.receiver, 7, bench.blob, TOTAL);
    fg_sender_start(&bench.sender, 7, TOTAL, bench.payload);
    if ((data[0] & 4U) != 0U) {
        push_framed(&bench, data + 1, size - 1U);
    } else {
        for (size_t i = 1; i < size; i++) {
            push(&bench, data[i]);
        }
    }
    free(buffer);
    return 0;
}

#ifdef FG_FUZZ_MAIN
#include "replay.h"
#endif
