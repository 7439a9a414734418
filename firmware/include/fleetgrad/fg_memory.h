/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_MEMORY_H
#define FG_MEMORY_H

/* All memory of a node, for a firmware that has one; include the generated model.h first. The names
 * are those that the toolchain looks for when a board has several memories. */

#include "fleetgrad/fg_node.h"
#include "fleetgrad/fg_reservoir.h"

/* A model may have no parameters that train; C has no arrays of no elements. */
#define FG_AT_LEAST_ONE(bytes) ((bytes) > 0U ? (bytes) : 1U)

#define FG_NODE_MEMORY()                                                                           \
    static _Alignas(FG_ALIGNMENT) uint8_t arena[FG_AT_LEAST_ONE(FG_MODEL_ARENA_BYTES)];            \
    static _Alignas(FG_ALIGNMENT) uint8_t params[FG_AT_LEAST_ONE(FG_MODEL_PARAM_BYTES)];           \
    static _Alignas(FG_ALIGNMENT) uint8_t base[FG_AT_LEAST_ONE(FG_MODEL_PARAM_BYTES)];             \
    static _Alignas(FG_ALIGNMENT) int8_t shadow[FG_AT_LEAST_ONE(FG_MODEL_SHADOW_BYTES)];           \
    static _Alignas(FG_ALIGNMENT) uint8_t persistent[FG_AT_LEAST_ONE(FG_MODEL_PERSISTENT_BYTES)];  \
    static fg_node node

/* Of fg_node_config. */
#define FG_NODE_STATE {.arena = arena, .params = params, .shadow = shadow, .persistent = persistent}

/* A reservoir called `name`, which holds so many samples of the model's input, and so many more
 * until their labels come. */
#define FG_RESERVOIR_MEMORY(name, samples, class_count, waiting_count)                             \
    static uint8_t name##_inputs[(samples) * FG_MODEL_INPUT_BYTES];                                \
    static uint8_t name##_labels[(samples)];                                                       \
    static fg_class_tally name##_tallies[(class_count)];                                           \
    static uint8_t name##_waiting[FG_AT_LEAST_ONE((waiting_count) * FG_MODEL_INPUT_BYTES)];        \
    static uint32_t name##_tickets[FG_AT_LEAST_ONE(waiting_count)];                                \
    static const fg_reservoir_config name##_config = {.inputs = name##_inputs,                     \
                                                      .labels = name##_labels,                     \
                                                      .tallies = name##_tallies,                   \
                                                      .sample_bytes = FG_MODEL_INPUT_BYTES,        \
                                                      .capacity = (samples),                       \
                                                      .classes = (class_count),                    \
                                                      .waiting_inputs = name##_waiting,            \
                                                      .tickets = name##_tickets,                   \
                                                      .waiting = (waiting_count)};                 \
    static fg_reservoir name

#endif
