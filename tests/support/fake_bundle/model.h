/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_GENERATED_MODEL_H
#define FG_GENERATED_MODEL_H

/* Not a neural network: a model whose every number the tests can predict, with the shape of a head
 * of 64 inputs and 10 outputs. fake_model.py is the same in Python. */

#include "fleetgrad/fg_model.h"

#define FAKE_CLASSES 10U
#define FAKE_INPUTS  64U
#define FAKE_WEIGHTS (FAKE_CLASSES * FAKE_INPUTS)

#define FG_MODEL_ARENA_BYTES      128U
#define FG_MODEL_PARAM_BYTES      (4U * FAKE_CLASSES + 2U * FAKE_WEIGHTS)
#define FG_MODEL_SHADOW_BYTES     FAKE_WEIGHTS
#define FG_MODEL_PERSISTENT_BYTES 0U
#define FG_MODEL_INPUT_BYTES      FAKE_INPUTS
#define FG_MODEL_OUTPUT_BYTES     FAKE_CLASSES
#define FG_MODEL_BATCH            4U

extern const fg_model fg_generated_model;

#endif
