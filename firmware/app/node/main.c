/* SPDX-License-Identifier: Apache-2.0 */

/* The fleet node: one device on one serial line. */

#include "fleetgrad/fg_node.h"
#include "fleetgrad/fg_port.h"
#include "model.h"

#ifndef FG_FIRMWARE_HASH
#error "the build says which firmware this is: -DFG_FIRMWARE_HASH=..."
#endif

/* A model may have no parameters that train; C has no arrays of no elements. */
#define AT_LEAST_ONE(bytes) ((bytes) > 0 ? (bytes) : 1)

static _Alignas(FG_ALIGNMENT) uint8_t arena[AT_LEAST_ONE(FG_MODEL_ARENA_BYTES)];
static _Alignas(FG_ALIGNMENT) uint8_t params[AT_LEAST_ONE(FG_MODEL_PARAM_BYTES)];
static _Alignas(FG_ALIGNMENT) uint8_t base[AT_LEAST_ONE(FG_MODEL_PARAM_BYTES)];
static _Alignas(FG_ALIGNMENT) int8_t shadow[AT_LEAST_ONE(FG_MODEL_SHADOW_BYTES)];
static _Alignas(FG_ALIGNMENT) uint8_t persistent[AT_LEAST_ONE(FG_MODEL_PERSISTENT_BYTES)];
static fg_node node;

/* Bytes that pass between port and node at a time; only their copy costs memory. */
#define PIECE_BYTES 64U

typedef struct piece {
    uint8_t bytes[PIECE_BYTES];
    size_t used;
    size_t sent;
} piece;

static void start(void) {
    size_t image_bytes = 0U;
    const uint8_t *image = fg_port_image(&image_bytes);
    const fg_node_config config = {
        .model = &fg_generated_model,
        .state = {.arena = arena, .params = params, .shadow = shadow, .persistent = persistent},
        .base = base,
        .image = image,
        .image_bytes = image_bytes,
#if FG_NODE_FLASH
        .flash = fg_port_flash(),
#endif
        .boot_count = fg_port_boot_count(),
        .firmware_hash = FG_FIRMWARE_HASH};
    /* A node that cannot work says so itself, in every HELLO. */
    if (fg_node_init(&node, &config) != FG_OK) {
        return;
    }
}

/* Moves what waits to the wire; false when the wire takes nothing now. */
static int send(piece *out) {
    if (out->sent == out->used) {
        out->sent = 0U;
        out->used = fg_node_transmit(&node, out->bytes, sizeof out->bytes);
    }
    const size_t taken = fg_port_write(out->bytes + out->sent, out->used - out->sent);
    out->sent += taken;
    return taken > 0U || out->sent == out->used;
}

void fg_app_run(void) {
    static piece out;
    uint8_t in[PIECE_BYTES];
    fg_port_init();
    start();
    for (;;) {
        const size_t count = fg_port_read(in, sizeof in);
        fg_node_receive(&node, in, count);
        const uint32_t now = fg_port_millis();
        const int more = fg_node_poll(&node, now);
        const int flows = send(&out);
        if (!flows) {
            /* The wire is slower than the node: let it catch up, unless bytes come in. */
            fg_port_wait(1U);
        } else if (!more && count == 0U && out.used == 0U) {
            fg_port_wait(fg_node_wait_ms(&node, now));
        }
    }
}
