/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_LOSS_POWER_H
#define FG_TRAIN_LOSS_POWER_H

/* Powers of two and logarithms from tables; private to firmware/src/train. */

#include <stdint.h>

#define FG_LOGIT_UNIT 1024 /* fine logits are in 1/1024 of a power of two */

/* 2^16 * 2^(-distance/1024); 0 beyond 17 octaves. */
uint32_t fg_power_of_two(uint32_t distance);

/* 1024 * log2(value) to within one unit, value >= 2^14. */
uint32_t fg_log_of(uint32_t value);

#endif
