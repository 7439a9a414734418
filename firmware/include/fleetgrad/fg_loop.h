/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_LOOP_H
#define FG_LOOP_H

/* Between a port and a node: what a firmware's main loop does in each turn. */

#include <stddef.h>
#include <stdint.h>

#include "fleetgrad/fg_node.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes that pass at a time; only their copy costs memory. */
#define FG_LOOP_BYTES 64U

/* Zeros at first. */
typedef struct fg_loop {
    uint8_t out[FG_LOOP_BYTES];
    size_t used;
    size_t sent;
} fg_loop;

/* Bytes from the port to the node, one bounded piece of its work, its bytes to the port. Sleeps
 * only when there is nothing to do, until a byte comes, the node's time has come, or longest_ms
 * have passed: 0 for a firmware that has other things to do, UINT32_MAX for one that has not. */
void fg_loop_turn(fg_loop *loop, fg_node *node, uint32_t longest_ms);

#ifdef __cplusplus
}
#endif

#endif
