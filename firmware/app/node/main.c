/* SPDX-License-Identifier: Apache-2.0 */

/* The fleet node: one device on one serial line. */

#include "fleetgrad/fg_loop.h"
#include "fleetgrad/fg_port.h"
#include "model.h"

#include "fleetgrad/fg_memory.h"

#ifndef FG_FIRMWARE_HASH
#error "the build says which firmware this is: -DFG_FIRMWARE_HASH=..."
#endif

FG_NODE_MEMORY();

static void start(void) {
    size_t image_bytes = 0U;
    const uint8_t *image = fg_port_image(&image_bytes);
    const fg_node_config config = {.model = &fg_generated_model,
                                   .state = FG_NODE_STATE,
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

void fg_app_run(void) {
    static fg_loop loop;
    fg_port_init();
    start();
    for (;;) {
        fg_loop_turn(&loop, &node, UINT32_MAX);
    }
}
