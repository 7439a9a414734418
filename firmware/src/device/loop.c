/* SPDX-License-Identifier: Apache-2.0 */
#include "fleetgrad/fg_loop.h"

#include <stdbool.h>

#include "fleetgrad/fg_port.h"

/* Moves what waits to the wire; false when the wire takes nothing now. */
static bool send(fg_loop *loop, fg_node *node) {
    if (loop->sent == loop->used) {
        loop->sent = 0U;
        loop->used = fg_node_transmit(node, loop->out, sizeof loop->out);
    }
    const size_t taken = fg_port_write(loop->out + loop->sent, loop->used - loop->sent);
    loop->sent += taken;
    return taken > 0U || loop->sent == loop->used;
}

static void sleep(uint32_t milliseconds, uint32_t longest_ms) {
    fg_port_wait(milliseconds < longest_ms ? milliseconds : longest_ms);
}

void fg_loop_turn(fg_loop *loop, fg_node *node, uint32_t longest_ms) {
    uint8_t in[FG_LOOP_BYTES];
    const size_t count = fg_port_read(in, sizeof in);
    fg_node_receive(node, in, count);
    const uint32_t now = fg_port_millis();
    const bool more = fg_node_poll(node, now) != 0;
    const bool flows = send(loop, node);
    if (!flows) {
        /* The wire is slower than the node: let it catch up, unless bytes come in. */
        sleep(1U, longest_ms);
    } else if (!more && count == 0U && loop->used == 0U) {
        sleep(fg_node_wait_ms(node, now), longest_ms);
    }
}
