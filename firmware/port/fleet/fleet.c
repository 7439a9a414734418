/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_fleet.h"

#include <stdbool.h>
#include <string.h>

#include "../../src/device/session.h"
#include "../../src/device/update.h"
#include "../../src/device/work.h"
#include "data.h"
#include "fleetgrad/fg_train.h"
#include "fold.h"
#include "model.h"

#define ROUND_UP(bytes) (((bytes) + FG_ALIGNMENT - 1U) & ~(size_t)(FG_ALIGNMENT - 1U))

static const fg_model *const model = &fg_generated_model;

/* One device at a time lives here; the next one takes its place. */
typedef struct worker {
    fg_node node;
    uint8_t *train_inputs, *train_targets, *eval_inputs, *eval_targets;
    int8_t *deltas; /* of the largest segment */
} worker;

/* Cuts pieces off the thread's memory; without memory it only counts. */
typedef struct cutter {
    uint8_t *memory;
    size_t used;
} cutter;

static uint8_t *cut(cutter *from, size_t bytes) {
    uint8_t *piece = from->memory == NULL ? NULL : from->memory + from->used;
    from->used += ROUND_UP(bytes);
    return piece;
}

static uint32_t largest_segment(void) {
    uint32_t most = 0U;
    for (uint32_t s = 0U; s < model->segment_count; s++) {
        most = model->segments[s].count > most ? model->segments[s].count : most;
    }
    return most;
}

static size_t lay_out(worker *made, const fg_fleet *fleet, uint8_t *memory) {
    cutter from = {memory, 0U};
    fg_node_config *config = &made->node.config;
    config->model = model;
    config->state.arena = cut(&from, model->arena_bytes);
    config->state.params = cut(&from, model->param_bytes);
    config->state.shadow = (int8_t *)cut(&from, model->shadow_bytes);
    config->state.persistent = cut(&from, model->persistent_bytes);
    config->base = cut(&from, model->param_bytes);
    made->train_inputs = cut(&from, (size_t)fleet->most_train * model->input_bytes);
    made->train_targets = cut(&from, (size_t)fleet->most_train * fleet->target_bytes);
    made->eval_inputs = cut(&from, (size_t)fleet->most_eval * model->input_bytes);
    made->eval_targets = cut(&from, (size_t)fleet->most_eval * fleet->target_bytes);
    made->deltas = (int8_t *)cut(&from, largest_segment());
    return from.used;
}

size_t fg_fleet_bytes(const fg_fleet *fleet) {
    worker none;
    return ROUND_UP(sizeof(worker)) + lay_out(&none, fleet, NULL);
}

static worker *begin(const fg_fleet *fleet, void *memory, size_t bytes) {
    if (bytes < fg_fleet_bytes(fleet)) {
        return NULL;
    }
    worker *made = memory;
    memset(memory, 0, bytes);
    (void)lay_out(made, fleet, (uint8_t *)memory + ROUND_UP(sizeof(worker)));
    return made;
}

static void take_samples(worker *one, const fg_fleet *fleet, uint32_t device) {
    fg_image *image = &one->node.image;
    image->device_id = fleet->first_id + device;
    image->sample_bytes = model->input_bytes;
    image->target_bytes = fleet->target_bytes;
    image->target_kind = (fg_target_kind)fleet->target_kind;
    image->train = fg_fleet_take(fleet, device, false, model->input_bytes, one->train_inputs,
                                 one->train_targets);
    image->eval =
        fg_fleet_take(fleet, device, true, model->input_bytes, one->eval_inputs, one->eval_targets);
}

/* Would a node take these terms? Whether it has samples is another question. */
static bool take_terms(fg_node *node, const fg_fleet_round *round) {
    const fg_msg_round_open terms = {.round = round->round,
                                     .version_tag = round->version_tag,
                                     .blob_bytes = model->param_bytes,
                                     .seed = round->seed,
                                     .lr_mantissa = (uint16_t)round->lr_mantissa,
                                     .lr_exponent = (int16_t)round->lr_exponent,
                                     .epochs = (uint16_t)round->epochs,
                                     .batch = (uint16_t)round->batch,
                                     .max_steps = round->max_steps,
                                     .work = (uint8_t)round->work};
    uint32_t detail = 0U;
    node->terms = terms;
    memcpy(node->terms.model_digest, model->digest, sizeof model->digest);
    memcpy(node->config.base, round->params, model->param_bytes);
    node->image.train.count = 1U;
    node->image.eval.count = 1U;
    return fg_session_judge(node, &node->terms, &detail) == 0U;
}

/* The whole of a round's work, as the node's own loop does it between two looks at the line. */
static fg_status work(fg_node *node) {
    fg_status status = fg_work_begin(node);
    node->phase = fg_work_first(node);
    for (bool more = true; status == FG_OK && more;) {
        status = fg_work_next(node, &more);
    }
    return status;
}

/* The update's bytes, made the way a node makes them. */
static void write_blob(fg_node *node, const fg_msg_update_header *head, uint8_t *blob) {
    fg_update *update = &node->update;
    fg_update_begin(update, &node->config, head, node->terms.work, node->work.measured);
    while (!fg_update_seal(update, &node->config)) {
    }
    fg_update_read(update, &node->config, 0U, blob, update->total);
}

static uint32_t blob_length(const fg_node *node) {
    const fg_msg_update_header head = {0};
    fg_update update;
    fg_update_begin(&update, &node->config, &head, node->terms.work, 0U);
    return update.total;
}

/* Whether the device has what the round needs. */
static bool has_samples(const fg_node *node) {
    const bool trains = (node->terms.work & (FG_WORK_TRAIN | FG_WORK_MEASURE)) != 0U;
    return trains ? node->image.train.count > 0U : node->image.eval.count > 0U;
}

int32_t fg_fleet_run(const fg_fleet *fleet, const fg_fleet_round *round, const uint32_t *devices,
                     uint32_t count, void *memory, size_t memory_bytes, fg_fleet_sums *sums,
                     fg_fleet_record *records, uint8_t *blobs, uint32_t blob_bytes) {
    worker *one = begin(fleet, memory, memory_bytes);
    if (one == NULL) {
        return FG_ERR_SIZE;
    }
    fg_node *node = &one->node;
    if (!take_terms(node, round)) {
        return FG_ERR_ARGUMENT;
    }
    if (blobs != NULL && blob_bytes != blob_length(node)) {
        return FG_ERR_SIZE;
    }
    for (uint32_t i = 0U; i < count; i++) {
        fg_fleet_record record = {0};
        take_samples(one, fleet, devices[i]);
        if (!has_samples(node)) {
            record.status = FG_ERR_STATE;
            sums->totals.empty++;
        } else {
            record.status = work(node);
            if (record.status == FG_OK) {
                const fg_msg_update_header head = fg_work_summary(node);
                fg_fleet_fold(node, &head, one->deltas, sums, &record);
                if (blobs != NULL) {
                    write_blob(node, &head, blobs + (size_t)i * blob_bytes);
                }
            } else {
                sums->totals.failed++;
            }
        }
        if (records != NULL) {
            records[i] = record;
        }
    }
    return FG_OK;
}

uint32_t fg_fleet_samples(const fg_fleet *fleet, uint32_t device, uint32_t held_out,
                          uint8_t *inputs, uint8_t *targets) {
    const fg_samples found =
        fg_fleet_take(fleet, device, held_out != 0U, model->input_bytes, inputs, targets);
    if (found.count > 0U && found.inputs != inputs) {
        memcpy(inputs, found.inputs, (size_t)found.count * model->input_bytes);
        memcpy(targets, found.targets, (size_t)found.count * fleet->target_bytes);
    }
    return found.count;
}

int32_t fg_fleet_score(const fg_fleet *fleet, const uint8_t *params, const uint8_t *inputs,
                       const uint8_t *targets, uint32_t count, void *memory, size_t memory_bytes,
                       fg_fleet_totals *totals) {
    worker *one = begin(fleet, memory, memory_bytes);
    if (one == NULL) {
        return FG_ERR_SIZE;
    }
    fg_node *node = &one->node;
    const fg_samples held = {inputs, targets, count};
    take_samples(one, fleet, 0U);
    node->image.eval = held;
    node->terms.work = FG_WORK_EVALUATE;
    memcpy(node->config.base, params, model->param_bytes);
    const fg_status status = count == 0U ? FG_OK : work(node);
    totals->eval_samples += node->work.evaluated;
    totals->eval_correct += node->work.correct;
    totals->eval_loss += node->work.eval_loss;
    return status;
}
