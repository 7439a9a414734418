/* SPDX-License-Identifier: Apache-2.0 */

/* A device and whatever a line may bring it: raw bytes, frames of any content, whole conversations
 * in any order, time in leaps, a data image of any content. Aborts when the device breaks a promise
 * of fg_node.h or sends anything but whole frames. Every piece of its memory is a block of its own,
 * so that reaching from one into the next is seen. Built like fuzz_wire.c. */

#include <stdlib.h>
#include <string.h>

#include "fleetgrad/fg_memory_flash.h"
#include "fleetgrad/fg_node.h"
#include "model.h"

#define SAMPLES_MAX  6U
#define SAMPLE_BYTES (FAKE_INPUTS + 1U)
#define FLASH_BYTES  (8U * 1024U)
#define MOST_PIECES  64U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input {
    const uint8_t *bytes;
    size_t left;
} input;

typedef struct world {
    fg_node *node;
    fg_node_config config;
    fg_memory_flash flash;
    fg_frame_decoder ear;
    uint8_t heard[FG_FRAME_RAW_BYTES(FG_WIRE_PAYLOAD_MAX)];
    uint8_t params[FG_MODEL_PARAM_BYTES];
    uint32_t params_crc;
    uint32_t session;
    uint32_t payload_max; /* of anything that the device may send now */
    uint32_t now_ms;
    uint32_t round;
    uint32_t offset; /* of the next chunk that is in place */
    bool wild;       /* nobody knows which session it is in */
    bool bent;       /* the image may say anything */
} world;

/* A macro, so that a debugger shows the line. */
#define require(holds)                                                                             \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static uint8_t next(input *in) {
    if (in->left == 0U) {
        return 0U;
    }
    in->left--;
    return *in->bytes++;
}

static void *block(size_t bytes) {
    void *made = malloc(bytes > 0U ? bytes : 1U);
    require(made != NULL);
    memset(made, 0xA5, bytes);
    return made;
}

/* A header that is intact, whatever it says. */
static void seal_image(uint8_t *image, size_t bytes) {
    fg_store_u32(image + 48, fg_crc32(0U, image + 64, bytes - 64U));
    fg_store_u32(image + 60, fg_crc32(0U, image, 60U));
}

/* Samples are the fuzzer's; so are the header's fields, if it asks for that. */
static size_t make_image(input *in, uint8_t flags, uint8_t **made) {
    const uint32_t train = next(in) % 4U;
    const uint32_t held_out = next(in) % 3U;
    const size_t bytes = FG_IMAGE_HEADER_BYTES + (train + held_out) * (size_t)SAMPLE_BYTES;
    uint8_t *image = block(bytes);
    memset(image, 0, bytes);
    for (size_t i = FG_IMAGE_HEADER_BYTES; i < bytes; i++) {
        image[i] = (uint8_t)(next(in) % FAKE_CLASSES);
    }
    fg_store_u32(image, FG_IMAGE_MAGIC);
    fg_store_u16(image + 4, FG_IMAGE_VERSION);
    fg_store_u16(image + 6, FG_IMAGE_HEADER_BYTES);
    fg_store_u64(image + 8, 42U);
    fg_store_u32(image + 20, FAKE_INPUTS);
    fg_store_u32(image + 24, 1U);
    image[28] = FG_TARGET_LABEL;
    fg_store_u32(image + 32, train);
    fg_store_u32(image + 36, held_out);
    if ((flags & 2U) != 0U) {
        for (uint32_t changes = next(in) % 4U; changes > 0U; changes--) {
            const size_t at = next(in) % bytes;
            image[at] = next(in);
        }
    }
    seal_image(image, bytes);
    *made = image;
    return bytes;
}

/* What the device sends must be frames, of the kinds and sizes that it may send. */
static void listen(world *w, const uint8_t *bytes, size_t count) {
    fg_frame frame;
    for (size_t i = 0U; i < count; i++) {
        if (!fg_frame_decoder_push(&w->ear, bytes[i], &frame)) {
            continue;
        }
        require(frame.incompat == 0U && frame.compat == 0U);
        require(frame.type == FG_MSG_HELLO || frame.type == FG_MSG_ERROR ||
                frame.type == FG_MSG_STATUS || frame.type == FG_MSG_ACK ||
                frame.type == FG_MSG_CHUNK);
        require(frame.length <= w->payload_max);
        if (frame.type == FG_MSG_CHUNK) {
            require(frame.session == w->session || w->wild);
            require(frame.length > FG_MSG_CHUNK_FIXED_BYTES);
        }
        if (frame.type == FG_MSG_ACK) {
            fg_msg_ack ack;
            require(fg_msg_ack_unpack(&ack, frame.payload, frame.length) == FG_OK);
            require(ack.next_offset <= FG_MODEL_PARAM_BYTES);
        }
    }
    require(w->ear.frames_bad == 0U);
}

static void run(world *w, uint32_t pieces, size_t capacity) {
    uint8_t out[64];
    capacity = capacity < sizeof out ? capacity : sizeof out;
    for (uint32_t i = 0U; i < pieces; i++) {
        const int more = fg_node_poll(w->node, w->now_ms);
        size_t sent = 0U;
        do {
            sent = fg_node_transmit(w->node, out, capacity);
            require(sent <= capacity);
            listen(w, out, sent);
        } while (sent > 0U);
        require(more == 0 || fg_node_wait_ms(w->node, w->now_ms) == 0U || capacity == 0U);
        if (more == 0) {
            break;
        }
    }
}

static void send_frame(world *w, uint32_t session, uint8_t type, const uint8_t *payload,
                       size_t length) {
    uint8_t encoded[FG_FRAME_BUFFER_BYTES(FG_WIRE_PAYLOAD_MAX)];
    const fg_frame frame = {
        .type = type, .session = session, .length = (uint16_t)length, .payload = payload};
    size_t count = 0U;
    require(fg_frame_encode(&frame, encoded, sizeof encoded, &count) == FG_OK);
    /* A copy of exactly this size, so that reading beyond it is seen. */
    uint8_t *copy = block(count);
    memcpy(copy, encoded, count);
    fg_node_receive(w->node, copy, count);
    free(copy);
}

static void greet(world *w, input *in, uint8_t op) {
    static const uint16_t sizes[4] = {FG_WIRE_PAYLOAD_MIN, 100U, FG_WIRE_PAYLOAD_DEFAULT,
                                      FG_WIRE_PAYLOAD_MAX};
    static const uint8_t delimiter = FG_FRAME_DELIMITER;
    uint8_t payload[FG_MSG_HELLO_REQUEST_BYTES];
    const fg_msg_hello_request request = {.version_min = FG_WIRE_VERSION,
                                          .version_max = FG_WIRE_VERSION,
                                          .max_payload = sizes[next(in) & 3U],
                                          .schema_hash = FG_SCHEMA_HASH};
    /* The device finishes the frame that it has begun, with the size that held until now. */
    run(w, MOST_PIECES, SIZE_MAX);
    w->session = 1U + (op >> 3 & 3U);
    w->wild = false;
    w->payload_max = FG_WIRE_PAYLOAD_MAX;
    fg_node_receive(w->node, &delimiter, 1U); /* whatever was begun ends here */
    send_frame(w, w->session, FG_MSG_HELLO_REQUEST, payload,
               fg_msg_hello_request_pack(payload, &request));
}

static void open_round(world *w, input *in, uint8_t op) {
    const uint8_t bend = next(in);
    fg_msg_round_open terms = {
        .round = w->round + (op >> 6),
        .version_tag = 7U,
        .blob_bytes = FG_MODEL_PARAM_BYTES,
        .blob_crc = w->params_crc,
        .seed = 5U,
        .lr_mantissa = 1U << 14,
        .lr_exponent = -3,
        .epochs = (uint16_t)(1U + (bend & 1U)),
        .batch = (uint16_t)(1U + (bend >> 1 & 3U)),
        .max_steps = bend >> 3 & 3U,
        .work = op >> 3 & 7U,
    };
    memcpy(terms.model_digest, fg_generated_model.digest, sizeof terms.model_digest);
    uint8_t payload[FG_MSG_ROUND_OPEN_BYTES];
    const size_t length = fg_msg_round_open_pack(payload, &terms);
    if ((bend & 0x80U) != 0U) {
        const size_t at = next(in) % length;
        payload[at] = next(in);
    }
    w->round = terms.round;
    w->offset = 0U;
    send_frame(w, w->session, FG_MSG_ROUND_OPEN, payload, length);
}

/* In place, or somewhere near; sometimes as much as a frame takes, sometimes all that is missing.
 */
static void send_chunk(world *w, input *in, uint8_t op) {
    const uint32_t most = FG_WIRE_PAYLOAD_MAX - FG_MSG_CHUNK_FIXED_BYTES;
    const uint32_t wanted = next(in) * 4U;
    const uint32_t size = wanted < most ? wanted : most;
    uint8_t payload[FG_WIRE_PAYLOAD_MAX];
    do {
        uint32_t offset = w->offset;
        if ((op & 8U) != 0U) {
            offset += next(in);
        } else if ((op & 16U) != 0U) {
            offset -= next(in);
        }
        const uint32_t rest = offset <= FG_MODEL_PARAM_BYTES ? FG_MODEL_PARAM_BYTES - offset : 0U;
        const uint32_t count = size < rest ? size : rest;
        const fg_msg_chunk chunk = {.transfer = (uint16_t)(w->round + (op >> 7)),
                                    .offset = offset,
                                    .data = rest > 0U ? w->params + offset : w->params,
                                    .data_bytes = count};
        const size_t length = fg_msg_chunk_pack(payload, &chunk);
        send_frame(w, w->session, FG_MSG_CHUNK, payload, length);
        w->offset = offset <= FG_MODEL_PARAM_BYTES ? offset + count : w->offset;
    } while ((op & 32U) != 0U && size > 0U && w->offset < FG_MODEL_PARAM_BYTES && in->left > 0U);
}

static void send_short(world *w, input *in, uint8_t op) {
    uint8_t payload[FG_MSG_ACK_BYTES];
    const uint32_t value = next(in) * ((op & 8U) != 0U ? 1U : 8U);
    if ((op & 16U) != 0U) {
        const fg_msg_ack ack = {.transfer = (uint16_t)w->round, .next_offset = value};
        send_frame(w, w->session, FG_MSG_ACK, payload, fg_msg_ack_pack(payload, &ack));
    } else if ((op & 32U) != 0U) {
        const fg_msg_receipt receipt = {.round = w->round - (op >> 6), .verdict = (uint8_t)value};
        send_frame(w, w->session, FG_MSG_RECEIPT, payload, fg_msg_receipt_pack(payload, &receipt));
    } else if ((op & 64U) != 0U) {
        const fg_msg_abort abandoned = {.round = w->round};
        send_frame(w, w->session, FG_MSG_ABORT, payload, fg_msg_abort_pack(payload, &abandoned));
    } else {
        send_frame(w, w->session, FG_MSG_STATUS_REQUEST, payload, 0U);
    }
}

static void send_raw(world *w, input *in, uint8_t op) {
    size_t count = next(in);
    count = count < in->left ? count : in->left;
    uint8_t *copy = block(count);
    if (count > 0U) {
        memcpy(copy, in->bytes, count);
    }
    in->bytes += count;
    in->left -= count;
    w->wild = true;
    if ((op & 8U) != 0U && count > 0U) {
        send_frame(w, w->session + (op >> 7), copy[0], copy + 1, count - 1U);
    } else {
        fg_node_receive(w->node, copy, count);
    }
    free(copy);
}

static void power_up(world *w) {
    memset(w->node, 0x5A, sizeof *w->node); /* nothing may depend on what was there */
    const fg_status status = fg_node_init(w->node, &w->config);
    require(status == FG_OK || w->config.image == NULL || w->bent);
    fg_frame_decoder_init(&w->ear, w->heard, (uint16_t)sizeof w->heard);
    w->session = 0U;
    w->payload_max = FG_WIRE_PAYLOAD_DEFAULT;
    w->config.boot_count++;
}

static void obey(world *w, input *in) {
    const uint8_t op = next(in);
    switch (op & 7U) {
    case 0:
        send_raw(w, in, op);
        break;
    case 1:
        greet(w, in, op);
        break;
    case 2:
        open_round(w, in, op);
        break;
    case 3:
        send_chunk(w, in, op);
        break;
    case 4:
        send_short(w, in, op);
        break;
    case 5:
        w->now_ms += next(in) * ((op & 8U) != 0U ? 64U : 1U);
        break;
    case 6:
        run(w, next(in), (size_t)(op >> 3) * 2U);
        break;
    default:
        if ((op & 0xF8U) == 0xF8U) {
            power_up(w);
        }
        run(w, MOST_PIECES, SIZE_MAX);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    const uint8_t flags = next(&in);
    world *w = block(sizeof *w);
    memset(w, 0, sizeof *w);
    uint8_t *image = NULL;
    const size_t image_bytes = (flags & 1U) != 0U ? 0U : make_image(&in, flags, &image);
    uint8_t *base = block(FG_MODEL_PARAM_BYTES);
    uint8_t *arena = block(FG_MODEL_ARENA_BYTES);
    uint8_t *params = block(FG_MODEL_PARAM_BYTES);
    int8_t *shadow = block(FG_MODEL_SHADOW_BYTES);
    for (size_t i = 0U; i < sizeof w->params; i++) {
        w->params[i] = i < 4U * (size_t)FAKE_CLASSES ? 0U : (uint8_t)(i * 7U);
    }
    w->params_crc = fg_crc32(0U, w->params, sizeof w->params);
    w->node = block(sizeof *w->node);
    w->now_ms = 0xFFFFF000U;
    w->bent = (flags & 2U) != 0U;
    w->round = 1U;
    w->config = (fg_node_config){.model = &fg_generated_model,
                                 .state = {.arena = arena, .params = params, .shadow = shadow},
                                 .base = base,
                                 .image = image,
                                 .image_bytes = image_bytes};
    uint8_t *kept = NULL;
    if ((flags & 4U) != 0U) {
        kept = block(FLASH_BYTES);
        memset(kept, 0xFF, FLASH_BYTES);
        fg_memory_flash_init(&w->flash, kept, FLASH_BYTES);
        w->config.flash = &w->flash.flash;
    }
    power_up(w);
    while (in.left > 0U) {
        obey(w, &in);
    }
    run(w, MOST_PIECES, SIZE_MAX);
    free(kept);
    free(w->node);
    free(shadow);
    free(params);
    free(arena);
    free(base);
    free(image);
    free(w);
    return 0;
}

#ifdef FG_FUZZ_MAIN
#include "replay.h"
#endif
