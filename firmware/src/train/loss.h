/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_LOSS_H
#define FG_TRAIN_LOSS_H

/* What all losses have in common; private to firmware/src/train. */

#include "fleetgrad/fg_train.h"

/* Outputs of the model that the loss sees. */
uint32_t fg_loss_outputs(const fg_head *head);

/* Turns accumulators into fine outputs, acc[n] for n < fg_loss_outputs(): scaled, fused activation
 * applied, summed over positions when pooled. Marks in gradient[p][o] with 1 where a gradient
 * passes the activation, else 0. */
void fg_loss_fine(const fg_head *head, int32_t *acc, int16_t *gradient);

/* The mean of squared errors in 1/128 of the output's unit, in 1/1024 of its square. */
uint32_t fg_loss_mean_square(uint64_t squares, uint32_t values);

#endif
