/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_KEEP_H
#define FG_KEEP_H

/* What a node keeps in its store, SPEC.md, "What a device keeps". Only rounds that train: what the
 * others find out costs less to do again than an erasure. Where the store fails the node goes on
 * without it, and HELLO says so. */

#include <stdbool.h>

#include "fleetgrad/fg_node.h"
#include "update.h"

#if FG_NODE_FLASH

/* At boot: the store, and where it holds a round, the node is in it again. */
void fg_keep_open(fg_node *node);

/* A round begins, or its parameters begin anew: what was kept before is not wanted any more. */
void fg_keep_round(fg_node *node);

/* Keeps what has arrived of the parameters. */
void fg_keep_parameters(fg_node *node);

/* One bounded piece of keeping the sealed update; true when nothing is left to do. */
bool fg_keep_update(fg_node *node);

/* Bytes offset .. offset + count - 1 of the update, wherever it is; offset + count is at most its
 * length. Fails only where what was kept cannot be read any more. */
fg_status fg_keep_read(const fg_node *node, uint32_t offset, uint8_t *out,
                       uint32_t count) FG_MUST_CHECK;

/* The update has its receipt, or is not wanted. */
void fg_keep_release(fg_node *node);

/* What HELLO says of the store. */
void fg_keep_describe(const fg_node *node, fg_msg_hello *hello);

#else

static inline void fg_keep_open(fg_node *node) {
    (void)node;
}

static inline void fg_keep_round(fg_node *node) {
    (void)node;
}

static inline void fg_keep_parameters(fg_node *node) {
    (void)node;
}

static inline bool fg_keep_update(fg_node *node) {
    (void)node;
    return true;
}

FG_MUST_CHECK static inline fg_status fg_keep_read(const fg_node *node, uint32_t offset,
                                                   uint8_t *out, uint32_t count) {
    fg_update_read(&node->update, &node->config, offset, out, count);
    return FG_OK;
}

static inline void fg_keep_release(fg_node *node) {
    (void)node;
}

static inline void fg_keep_describe(const fg_node *node, fg_msg_hello *hello) {
    (void)node;
    (void)hello;
}

#endif

#endif
