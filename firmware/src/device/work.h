/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_WORK_H
#define FG_WORK_H

#include <stdbool.h>

#include "fleetgrad/fg_node.h"

/* Looks again at samples that the device collects itself; not in the middle of work on them. */
void fg_work_renew_samples(fg_node *node);

/* Begins a round's work on freshly received parameters in config->base. */
fg_status fg_work_begin(fg_node *node) FG_MUST_CHECK;

/* What the round's work begins with. */
fg_phase fg_work_first(const fg_node *node);

/* The next piece of what node->phase says: one sample evaluated, measured, or trained on with the
 * update when it fills its batch. Training follows evaluation where the round asks for both; *more
 * is false after the last piece. */
fg_status fg_work_next(fg_node *node, bool *more) FG_MUST_CHECK;

/* What the round has measured. */
fg_msg_update_header fg_work_summary(const fg_node *node);

#endif
