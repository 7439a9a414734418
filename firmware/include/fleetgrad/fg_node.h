/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_NODE_H
#define FG_NODE_H

/* A device of the fleet: session, rounds, private data, one trained model. Sans-I/O: bytes and time
 * come in as arguments, bytes go out through fg_node_transmit(). The firmware's main loop, the native
 * process and the in-process fleet drive this very same code. */

#include <stddef.h>
#include <stdint.h>

#include "fleetgrad/fg_image.h"
#include "fleetgrad/fg_model.h"
#include "fleetgrad/fg_status.h"
#include "fleetgrad/fg_wire.h"

/* `base` holds the global parameters that this round started from (param_bytes); the update is
 * state.params - base. The caller owns all memory and keeps it until the node is gone. */
typedef struct fg_node_config {
    const fg_model *model;
    fg_model_state state;
    uint8_t *base;
    const uint8_t *image; /* data image, see fg_image.h */
    size_t image_bytes;
    uint32_t boot_count;
    uint32_t firmware_hash;
} fg_node_config;

typedef struct fg_node fg_node; /* complete type in the same header once written */

/* FG_ERR_* when the image or the descriptor does not fit; the node then still answers HELLO, and
 * reports the error there. */
fg_status fg_node_init(fg_node *node, const fg_node_config *config) FG_MUST_CHECK;

/* Consumes all bytes; what is not a frame is skipped and counted. */
void fg_node_receive(fg_node *node, const uint8_t *bytes, size_t count);

/* One bounded piece of work: at most one sample forward and backward, or one outgoing frame.
 * Returns 1 when more work waits, 0 when the node only waits for bytes or time. */
int fg_node_poll(fg_node *node, uint32_t now_ms);

/* Takes up to `capacity` bytes that want to go out; 0 when there are none. */
size_t fg_node_transmit(fg_node *node, uint8_t *bytes, size_t capacity);

#endif
