/* SPDX-License-Identifier: Apache-2.0 */

/* Stands for a sensor: every 50 ms a picture of a bar, which is up, in the middle or down. */

#include "sensor.h"

#include <string.h>

#include "fleetgrad/fg_port.h"
#include "fleetgrad/fg_rng.h"
#include "model.h"

#define PERIOD_MS 50U
#define KINDS     3U
#define SIDE      8U

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
    const uint32_t word = fg_mix32(number++);
    *label = word % KINDS;
    memset(sample, -128, FG_MODEL_INPUT_BYTES);
    const uint32_t row = *label * 3U + (word >> 8) % 2U;
    memset(sample + row * SIDE, (int8_t)(64U + (word >> 16) % 64U), SIDE);
    return true;
}
