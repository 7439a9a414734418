/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SENSOR_H
#define SENSOR_H

#include <stdbool.h>
#include <stdint.h>

/* Put your own in here. */

/* Of this board, never of another one. */
uint64_t sensor_serial_number(void);

/* One sample in the quantisation of the model's input, and what it is; false while there is none
 * yet. Never waits. */
bool sensor_read(int8_t *sample, uint32_t *label);

#endif
