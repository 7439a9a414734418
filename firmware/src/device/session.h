/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_SESSION_H
#define FG_SESSION_H

#include "fleetgrad/fg_node.h"

/* What this build sends to a host that has not said what it takes. */
#define FG_NODE_PAYLOAD_DEFAULT                                                                    \
    ((uint16_t)(FG_NODE_PAYLOAD_MAX < FG_WIRE_PAYLOAD_DEFAULT ? FG_NODE_PAYLOAD_MAX                \
                                                              : FG_WIRE_PAYLOAD_DEFAULT))

/* Acts on one intact frame; what it answers waits in node->outbox. */
void fg_session_handle(fg_node *node, const fg_frame *frame);

/* The fg_error_code that a round's terms deserve, 0 for none; *detail goes with it. */
uint32_t fg_session_judge(const fg_node *node, const fg_msg_round_open *terms, uint32_t *detail);

/* Terms as they travel, FG_MSG_ROUND_OPEN_BYTES of them, and back. */
void fg_session_pack_terms(uint8_t *packed, const fg_msg_round_open *terms);
fg_status fg_session_unpack_terms(fg_msg_round_open *terms, const uint8_t *packed,
                                  size_t count) FG_MUST_CHECK;

/* Leaves a refusal in the outbox; of several that meet there the first one is kept. */
void fg_session_refuse(fg_node *node, uint32_t session, fg_error_code code, uint8_t message_id,
                       uint32_t detail);

#endif
