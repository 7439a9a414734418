/* SPDX-License-Identifier: Apache-2.0 */

/* Stands for a sensor, whatever the model: every 50 ms a pattern of one of the classes, in noise.
 */

#include "sensor.h"

#include "fleetgrad/fg_port.h"
#include "fleetgrad/fg_rng.h"
#include "model.h"

#define PERIOD_MS 50U

uint64_t sensor_serial_number(void) {
    return 0x5E50U;
}

bool sensor_read(int8_t *sample, uint32_t *label) {
    static uint32_t next_ms;
    static uint32_t number;
    if ((int32_t)(fg_port_millis() - next_ms) < 0) {
        return false;
    }
    next_ms += PERIOD_MS;
    number++;
    *label = fg_mix32(number) % FG_MODEL_OUTPUT_BYTES;
    for (uint32_t i = 0U; i < FG_MODEL_INPUT_BYTES; i++) {
        const bool bright = (fg_mix32(*label << 16 ^ i) & 3U) == 0U;
        const uint32_t noise = fg_mix32(fg_mix32(number) + i) % 48U;
        sample[i] = (int8_t)((bright ? 40 : -100) + (int32_t)noise);
    }
    return true;
}
