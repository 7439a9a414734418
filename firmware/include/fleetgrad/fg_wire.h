/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_WIRE_H
#define FG_WIRE_H

/* Frames: what turns a line that drops, flips and invents bytes into whole messages or nothing.
 * SPEC.md, chapter "Frames", has every byte. No I/O, no clock, no memory of its own. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fleetgrad/fg_messages.h"
#include "fleetgrad/fg_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Between frames, and once before the first one after a (re)connect. */
#define FG_FRAME_DELIMITER 0x00U

#define FG_FRAME_HEADER_BYTES 12U
#define FG_FRAME_CRC_BYTES    4U

/* A frame before byte stuffing; the size of a decoder's buffer for payloads of that size. */
#define FG_FRAME_RAW_BYTES(payload) (FG_FRAME_HEADER_BYTES + (payload) + FG_FRAME_CRC_BYTES)

/* Free bytes that stuffing in place needs in front of the largest frame: one code per 254 bytes. */
#define FG_FRAME_HEADROOM (1U + FG_FRAME_RAW_BYTES(FG_WIRE_PAYLOAD_MAX) / 254U)

/* The size of an encoder's buffer for payloads of that size: stuffed frame and delimiter. */
#define FG_FRAME_BUFFER_BYTES(payload) (FG_FRAME_HEADROOM + FG_FRAME_RAW_BYTES(payload) + 1U)

typedef struct fg_frame {
    uint8_t type;     /* id of a message */
    uint8_t incompat; /* bits that a receiver must know or drop the frame; none are defined */
    uint8_t compat;   /* bits that a receiver may ignore; none are defined */
    uint16_t seq;     /* counts the sender's frames; for logs, nothing depends on it */
    uint16_t length;  /* of the payload */
    uint32_t session;
    const uint8_t *payload;
} fg_frame;

/* CRC-32/IEEE as zlib computes it. Start with crc = 0; pass the last result to go on. */
uint32_t fg_crc32(uint32_t crc, const uint8_t *bytes, size_t count);

/* Where a payload may be built inside an encoder's buffer, to save fg_frame_encode() a move. */
static inline uint8_t *fg_frame_payload(uint8_t *buffer) {
    return buffer + FG_FRAME_HEADROOM + FG_FRAME_HEADER_BYTES;
}

/* Writes the frame as it travels, delimiter included, to the start of `buffer`; `*encoded` is its
 * length. The payload may be anywhere, also where fg_frame_payload() says. `capacity` must be at
 * least FG_FRAME_BUFFER_BYTES(frame->length), else FG_ERR_SIZE and nothing is written. */
FG_MUST_CHECK fg_status fg_frame_encode(const fg_frame *frame, uint8_t *buffer, size_t capacity,
                                        size_t *encoded);

/* Takes bytes one by one and undoes the stuffing as they come, in the caller's buffer. */
typedef struct fg_frame_decoder {
    uint8_t *buffer;
    uint32_t frames_bad; /* dropped: CRC, length, version, stuffing, unknown incompat bits */
    uint16_t capacity;
    uint16_t used;
    uint8_t code; /* of the current block; 0: no block since the last delimiter */
    uint8_t left; /* bytes until the next code */
    bool discard; /* longer than the buffer: skip to the delimiter */
} fg_frame_decoder;

/* `capacity` = FG_FRAME_RAW_BYTES(largest payload this side accepts), at most 65535. */
void fg_frame_decoder_init(fg_frame_decoder *decoder, uint8_t *buffer, uint16_t capacity);

/* True when this byte completed an intact frame; it is then in *frame, and its payload stays valid
 * until the next call. Anything else between two delimiters, such as log text, is counted in
 * frames_bad and skipped. */
FG_MUST_CHECK bool fg_frame_decoder_push(fg_frame_decoder *decoder, uint8_t byte, fg_frame *frame);

#ifdef __cplusplus
}
#endif

#endif
