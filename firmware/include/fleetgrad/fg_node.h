/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_NODE_H
#define FG_NODE_H

/* A device of the fleet: session, rounds, private data, one trained model. Sans-I/O: bytes and time
 * come in as arguments, bytes go out through fg_node_transmit(). The firmware's main loop, the
 * native process and the in-process fleet drive this very same code. SPEC.md, chapter "Device",
 * says what it answers to what. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fleetgrad/fg_image.h"
#include "fleetgrad/fg_model.h"
#include "fleetgrad/fg_reservoir.h"
#include "fleetgrad/fg_rng.h"
#include "fleetgrad/fg_status.h"
#include "fleetgrad/fg_store.h"
#include "fleetgrad/fg_transfer.h"
#include "fleetgrad/fg_wire.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The largest payload this build takes and sends; two frames of it are most of a node's memory. */
#ifndef FG_NODE_PAYLOAD_MAX
#define FG_NODE_PAYLOAD_MAX FG_WIRE_PAYLOAD_MAX
#endif

/* 0 for a board that has nothing to keep anything in: what it takes is then left out of the build.
 */
#ifndef FG_NODE_FLASH
#define FG_NODE_FLASH 1
#endif

/* Trained tensors of one model: the exponents of an update are kept while it is being sent. */
#ifndef FG_NODE_SEGMENTS_MAX
#define FG_NODE_SEGMENTS_MAX 128U
#endif

/* `base` holds the global parameters that this round started from (param_bytes); the update is
 * state.params - base. The caller owns all memory and keeps it until the node is gone. */
typedef struct fg_node_config {
    const fg_model *model;
    fg_model_state state;
    uint8_t *base;
    const uint8_t *image; /* data image, see fg_image.h; NULL: none */
    size_t image_bytes;
    /* Instead of an image: samples that the device collects itself, for training and, or NULL, held
     * out; and the id that an image would have brought. */
    const fg_reservoir *collected;
    const fg_reservoir *held_out;
    uint64_t device_id;
#if FG_NODE_FLASH
    const fg_flash *flash; /* keeps what must outlive a reset; NULL: nothing does */
#endif
    uint32_t boot_count;
    uint32_t firmware_hash;
} fg_node_config;

/* What one round computes: evaluation, then training, one sample at a time; or a measurement. */
typedef struct fg_work_state {
    uint32_t key; /* fg_round_key() */
    fg_order order;
    uint32_t epoch;
    uint32_t sample; /* of the held-out part, or of the epoch */
    uint32_t row;    /* of the batch being collected */
    uint32_t steps;
    uint32_t visits;   /* training samples seen, repetitions included */
    uint32_t measured; /* training samples whose clipped outputs were counted */
    uint32_t evaluated;
    uint32_t correct;
    uint64_t eval_loss;  /* sum */
    uint64_t train_loss; /* sum */
} fg_work_state;

/* The update blob, computed as it is read: params, base and these few bytes are all there is. */
typedef struct fg_update {
    uint8_t header[FG_MSG_UPDATE_HEADER_BYTES];
    uint8_t exponents[FG_NODE_SEGMENTS_MAX];
    uint8_t saturated[FG_NODE_SEGMENTS_MAX]; /* parameters at their limits; 255: or more */
    uint32_t segments; /* of which both are known so far; 0 stays 0 when nothing was trained */
    uint32_t deltas;   /* elements of all segments; 0: likewise */
    uint32_t measured;
    uint32_t total;  /* bytes of the blob */
    uint32_t summed; /* bytes that are in `crc` */
    uint32_t crc;
} fg_update;

#if FG_NODE_FLASH
/* What outlives a reset: the parameters of a round as they arrive, then the update. */
typedef struct fg_keep {
    fg_store store;
    fg_journal journal;
    uint32_t taken;  /* bytes of the parameters in the journal, of the update in the record */
    bool works;      /* there is a store, and it has not failed */
    bool journaling; /* it takes parameters */
    bool filling;    /* it takes the update */
    bool restored;   /* the update is there and no longer in RAM: a reset was in between */
} fg_keep;
#endif

/* Replies that wait for the line, one of each kind: a later one stands for the earlier ones. */
typedef struct fg_outbox {
    fg_msg_error error;
    uint32_t error_session;
    bool hello;
    bool error_waits;
    bool status;
    bool ack;
} fg_outbox;

/* Everything is private to firmware/src/device. */
typedef struct fg_node {
    fg_node_config config;
    fg_image image;
    uint16_t problem; /* an fg_error_code, reported by HELLO; 0: none */

    uint32_t session;       /* 0: none yet */
    uint32_t round_session; /* the session that last opened the round: only it gets the update */
    uint16_t payload_max;   /* negotiated */
    uint16_t seq;
    fg_outbox outbox;

    fg_msg_round_open terms;
    fg_phase phase;
    bool sealed; /* the update's head is complete */
    bool ready;  /* and the update is kept, where there is a store: it can be sent */
    uint32_t blob_crc;
    fg_receiver receiver;
    fg_sender sender;
    fg_work_state work;
    fg_update update;
#if FG_NODE_FLASH
    fg_keep keep;
#endif

    fg_frame_decoder decoder;
    size_t tx_used; /* bytes of the frame in tx */
    size_t tx_sent;
    uint8_t rx[FG_FRAME_RAW_BYTES(FG_NODE_PAYLOAD_MAX)];
    uint8_t tx[FG_FRAME_BUFFER_BYTES(FG_NODE_PAYLOAD_MAX)];
} fg_node;

/* FG_ERR_* when the image or the descriptor does not fit; the node then still answers HELLO, and
 * reports the error there. */
fg_status fg_node_init(fg_node *node, const fg_node_config *config) FG_MUST_CHECK;

/* Consumes all bytes; what is not a frame is skipped and counted. */
void fg_node_receive(fg_node *node, const uint8_t *bytes, size_t count);

/* One bounded piece of work: at most one sample forward and backward, or one outgoing frame.
 * Returns 1 when more work waits, 0 when the node only waits for bytes or time. A frame that waits
 * counts as work, also while fg_node_transmit() still has bytes of the one before it. */
int fg_node_poll(fg_node *node, uint32_t now_ms);

/* Takes up to `capacity` bytes that want to go out; 0 when there are none. */
size_t fg_node_transmit(fg_node *node, uint8_t *bytes, size_t capacity);

/* Milliseconds until fg_node_poll() has something to do although no byte came; UINT32_MAX: never.
 */
uint32_t fg_node_wait_ms(const fg_node *node, uint32_t now_ms);

#ifdef __cplusplus
}
#endif

#endif
