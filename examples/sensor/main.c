/* SPDX-License-Identifier: Apache-2.0 */

/* My own sensor, my own model, trained here: what the sensor gives is kept on the board, as far as
 * there is room, and trains the model whenever a host opens a round. */

#include "fleetgrad/fg_loop.h"
#include "fleetgrad/fg_port.h"
#include "model.h"

#include "fleetgrad/fg_memory.h"
#include "sensor.h"

FG_NODE_MEMORY();
FG_RESERVOIR_MEMORY(collected, 32U, FG_MODEL_OUTPUT_BYTES, 0U);

void fg_app_run(void) {
    static fg_loop loop;
    static int8_t sample[FG_MODEL_INPUT_BYTES];
    const fg_node_config config = {.model = &fg_generated_model,
                                   .state = FG_NODE_STATE,
                                   .base = base,
                                   .collected = &collected,
                                   .device_id = sensor_serial_number(),
                                   .boot_count = fg_port_boot_count(),
                                   .firmware_hash = FG_FIRMWARE_HASH};
    fg_port_init();
    fg_status status = fg_reservoir_init(&collected, &collected_config);
    if (status == FG_OK) {
        status = fg_node_init(&node, &config);
    }
    while (status == FG_OK) {
        uint32_t label = 0U;
        if (sensor_read(sample, &label)) {
            status = fg_sample_add(&collected, sample, label);
        }
        fg_loop_turn(&loop, &node, 1U);
    }
}
