/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRANSFER_H
#define FG_TRANSFER_H

/* Blobs in chunks: cumulative acknowledgements, one gap filled at a time, resumable, idempotent.
 * Two state machines that do no I/O: messages and time come in, messages and slices to send come
 * out. SPEC.md, chapter "Transfers", has the rules; fleetgrad/wire/transfer.py is the same in
 * Python. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fleetgrad/fg_messages.h"
#include "fleetgrad/fg_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Chunks in flight, and chunks per acknowledgement. */
#define FG_TRANSFER_WINDOW 8U

/* Silence after the last chunk until the first in flight is sent again: less, down to the minimum,
 * where answers have come quickly; doubles up to the maximum. */
#define FG_TRANSFER_TIMEOUT_MIN_MS 100U
#define FG_TRANSFER_TIMEOUT_MS     1000U
#define FG_TRANSFER_TIMEOUT_MAX_MS 8000U

/* What fg_receiver_accept() asks of its caller: any of these bits. */
#define FG_RECEIVER_ACK      1U /* send fg_receiver_ack() */
#define FG_RECEIVER_COMPLETE 2U /* this chunk was the last one missing; reported once */

typedef struct fg_receiver {
    uint8_t *destination;
    uint32_t total;
    uint32_t next_offset; /* everything below has arrived */
    uint32_t stray;       /* offset of the last chunk that was out of place */
    uint32_t ahead;       /* what is kept behind a gap: from here .. */
    uint32_t ahead_end;   /* .. to here; nothing where both are equal */
    uint32_t seen;        /* end of the furthest chunk so far */
    uint16_t transfer;
    uint8_t unacknowledged; /* chunks in place since the last acknowledgement */
    bool strayed;           /* the last chunk was out of place */
} fg_receiver;

/* Begins at offset 0. `destination` takes `total` bytes and stays the caller's. */
void fg_receiver_start(fg_receiver *receiver, uint16_t transfer, uint8_t *destination,
                       uint32_t total);

/* Stores what is new in the chunk. Duplicates, overlaps and gaps are normal and give FG_OK.
 * FG_ERR_STATE: a chunk of another transfer. FG_ERR_SIZE: it reaches beyond the blob's end.
 * After an error nothing has changed and *todo is 0. */
FG_MUST_CHECK fg_status fg_receiver_accept(fg_receiver *receiver, const fg_msg_chunk *chunk,
                                           uint32_t *todo);

/* The acknowledgement of everything received so far. */
fg_msg_ack fg_receiver_ack(const fg_receiver *receiver);

static inline bool fg_receiver_complete(const fg_receiver *receiver) {
    return receiver->next_offset == receiver->total;
}

typedef struct fg_sender {
    uint32_t total;
    uint32_t base;        /* acknowledged */
    uint32_t next;        /* sent */
    uint32_t deadline_ms; /* of the acknowledgement of what is in flight */
    uint32_t sent_ms;     /* when the last chunk was sent */
    uint16_t transfer;
    uint16_t answer_ms;   /* how long answers take */
    uint16_t payload_max; /* negotiated */
    uint16_t payload;     /* of the chunks sent now: smaller after losses */
    uint8_t timeouts;     /* in a row, saturating: the caller decides when to give up */
    uint8_t clean;        /* chunks acknowledged since the last loss, saturating */
    bool rewound;         /* `base` was sent again already on its acknowledgement */
    bool behind;          /* something in flight is lost: nothing new until all of it is there */
    bool answered;        /* an answer has come since the last chunk */
    bool again;           /* the chunk at `base` is to be sent again */
} fg_sender;

/* Bytes of the blob that make the next chunk. */
typedef struct fg_slice {
    uint32_t offset;
    uint16_t count;
} fg_slice;

/* Begins at offset 0. `payload_max`: largest payload both sides take, FG_WIRE_PAYLOAD_MIN or more
 * (less counts as that). */
void fg_sender_start(fg_sender *sender, uint16_t transfer, uint32_t total, uint16_t payload_max);

/* Starts again at `next_offset`, in either direction: after a new session, or when the receiver
 * told that it has lost everything. Offsets beyond the end count as the end. */
void fg_sender_resume(fg_sender *sender, uint32_t next_offset);

/* True: send this slice now (the caller fills a Chunk with it), it counts as sent. Ask again until
 * false. Call it only while the line takes another frame, so that silence means silence. */
FG_MUST_CHECK bool fg_sender_poll(fg_sender *sender, uint32_t now_ms, fg_slice *slice);

/* FG_ERR_STATE: of another transfer. FG_ERR_SIZE: beyond the blob's end. Stale and repeated ones
 * are normal and give FG_OK. */
FG_MUST_CHECK fg_status fg_sender_acknowledge(fg_sender *sender, const fg_msg_ack *ack);

/* Milliseconds until fg_sender_poll() has something to do; UINT32_MAX when it never will. */
uint32_t fg_sender_wait(const fg_sender *sender, uint32_t now_ms);

static inline bool fg_sender_done(const fg_sender *sender) {
    return sender->base == sender->total;
}

#ifdef __cplusplus
}
#endif

#endif
