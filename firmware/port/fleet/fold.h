/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_FLEET_FOLD_H
#define FG_FLEET_FOLD_H

#include "fg_fleet.h"
#include "fleetgrad/fg_node.h"

/* Adds the update of a device that has finished its round's work to the sums. `deltas` is scratch
 * for the largest segment. */
void fg_fleet_fold(const fg_node *node, const fg_msg_update_header *head, int8_t *deltas,
                   fg_fleet_sums *sums, fg_fleet_record *record);

#endif
