/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_WORK_H
#define FG_WORK_H

#include <stdbool.h>

#include "fleetgrad/fg_node.h"

/* Begins a round's work on freshly received parameters in config->base. */
fg_status fg_work_begin(fg_node *node) FG_MUST_CHECK;

/* The next held-out sample; *more is false after the last one. */
fg_status fg_work_evaluate(fg_node *node, bool *more) FG_MUST_CHECK;

/* The next training sample, and the update when it fills its batch; *more is false after the last
 * one. */
fg_status fg_work_train(fg_node *node, bool *more) FG_MUST_CHECK;

/* The next training sample of a measurement; *more is false after the last one. */
fg_status fg_work_measure(fg_node *node, bool *more) FG_MUST_CHECK;

/* What the round has measured. */
fg_msg_update_header fg_work_summary(const fg_node *node);

#endif
