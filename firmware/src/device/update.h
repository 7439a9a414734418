/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_UPDATE_H
#define FG_UPDATE_H

#include <stdbool.h>

#include "fleetgrad/fg_node.h"

/* Bytes of the blob after this work. */
uint32_t fg_update_bytes(const fg_model *model, uint8_t work);

/* Begins an update whose numbers are in `head` (its crc is filled in later). What follows the
 * header depends on `work`, the bits of the round. */
void fg_update_begin(fg_update *update, const fg_node_config *config,
                     const fg_msg_update_header *head, uint8_t work, uint32_t measured);

/* One bounded piece of finding exponents and CRC; true when the blob can be read. */
bool fg_update_seal(fg_update *update, const fg_node_config *config);

/* Bytes offset .. offset + count - 1 of a sealed blob; offset + count <= update->total. */
void fg_update_read(const fg_update *update, const fg_node_config *config, uint32_t offset,
                    uint8_t *out, uint32_t count);

/* The share of a range's outputs that were clipped on `measured` samples, in 1/65536. */
uint16_t fg_update_clipped(const fg_node_config *config, uint32_t measured, uint32_t range);

#endif
