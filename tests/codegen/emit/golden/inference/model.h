/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_GENERATED_MODEL_H
#define FG_GENERATED_MODEL_H

#include "fleetgrad/fg_model.h"

#if FG_MODEL_ABI != 3U
#error "generated for another version of the runtime: generate again"
#endif

#define FG_MODEL_ARENA_BYTES 524U
#define FG_MODEL_PARAM_BYTES 0U
#define FG_MODEL_SHADOW_BYTES 0U
#define FG_MODEL_PERSISTENT_BYTES 0U
#define FG_MODEL_INPUT_BYTES 64U
#define FG_MODEL_OUTPUT_BYTES 4U
#define FG_MODEL_BATCH 0U

extern const fg_model fg_generated_model;

#endif
