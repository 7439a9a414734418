/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_FLEET_DATA_H
#define FG_FLEET_DATA_H

#include <stdbool.h>

#include "fg_fleet.h"
#include "fleetgrad/fg_image.h"

/* The samples of a device: in place where they lie side by side, else put into `inputs` and
 * `targets`, which have room for the most that any device has. */
fg_samples fg_fleet_take(const fg_fleet *fleet, uint32_t device, bool held_out,
                         uint32_t sample_bytes, uint8_t *inputs, uint8_t *targets);

#endif
