/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

#include <string.h>

#include "fleetgrad/fg_train.h"
#include "quotient.h"

/* While it trains, a device looks at the outputs of every so many samples, and of no more than
 * that: counts of outputs then fit 32 bits. */
#define MEASURED_EVERY 16U
#define MEASURED_MOST  1024U

/* Kernels rely on parameters within these limits, or their sums would leave 32 bits; the line may
 * bring any. (Masters beyond theirs are moved by refresh().) */
static void limit_params(const fg_model *model, uint8_t *params) {
    for (uint32_t s = 0U; s < model->segment_count; s++) {
        const fg_segment *segment = &model->segments[s];
        const uint32_t count = segment->kind == FG_SEGMENT_BIAS ? segment->count : 0U;
        for (uint32_t i = 0U; i < count; i++) {
            uint8_t *at = params + segment->offset + 4U * i;
            int32_t bias = 0;
            memcpy(&bias, at, sizeof bias);
            if (bias > FG_BIAS_LIMIT || bias < -FG_BIAS_LIMIT) {
                bias = bias < 0 ? -FG_BIAS_LIMIT : FG_BIAS_LIMIT;
                memcpy(at, &bias, sizeof bias);
            }
        }
    }
    uint8_t *exponents = params + (model->param_bytes - model->range_count);
    for (uint32_t r = 0U; r < model->range_count; r++) {
        exponents[r] = exponents[r] > FG_RANGE_MAX ? (uint8_t)FG_RANGE_MAX : exponents[r];
    }
}

void fg_work_renew_samples(fg_node *node) {
    const fg_node_config *config = &node->config;
    const bool working = node->phase == FG_PHASE_EVALUATING || node->phase == FG_PHASE_MEASURING ||
                         node->phase == FG_PHASE_TRAINING;
    const bool fit = node->problem == 0U || node->problem == FG_ERROR_CODE_NO_DATA;
    if (config->image != NULL || config->collected == NULL || working || !fit) {
        return;
    }
    node->image.train = fg_reservoir_samples(config->collected);
    if (config->held_out != NULL) {
        node->image.eval = fg_reservoir_samples(config->held_out);
    }
    const bool none = node->image.train.count == 0U && node->image.eval.count == 0U;
    node->problem = none ? FG_ERROR_CODE_NO_DATA : 0U;
}

fg_status fg_work_begin(fg_node *node) {
    const fg_node_config *config = &node->config;
    memset(&node->work, 0, sizeof node->work);
    node->config.state.measure = false;
    node->work.key = fg_round_key(node->terms.seed, node->terms.round, node->image.device_id);
    if (config->model->param_bytes == 0U) {
        return FG_OK; /* nothing trains: the model computes with its constants alone */
    }
    memcpy(config->state.params, config->base, config->model->param_bytes);
    limit_params(config->model, config->state.params);
    return config->model->refresh(&config->state);
}

fg_phase fg_work_first(const fg_node *node) {
    if ((node->terms.work & FG_WORK_EVALUATE) != 0U && node->image.eval.count > 0U) {
        return FG_PHASE_EVALUATING;
    }
    const bool measure = (node->terms.work & FG_WORK_MEASURE) != 0U;
    return measure ? FG_PHASE_MEASURING : FG_PHASE_TRAINING;
}

/* Puts sample `index` into the model's input and says what should come out. */
static fg_target load(const fg_node *node, const fg_samples *samples, uint32_t index) {
    const fg_image *image = &node->image;
    const uint8_t *input = samples->inputs + (size_t)index * image->sample_bytes;
    memcpy(node->config.state.arena + node->config.model->input_offset, input, image->sample_bytes);
    fg_target target = {0U, NULL};
    if (image->target_kind == FG_TARGET_LABEL) {
        target.label = fg_image_label(image, samples, index);
    } else if (image->target_kind == FG_TARGET_VECTOR) {
        target.values = (const int8_t *)(samples->targets + (size_t)index * image->target_bytes);
    } else {
        target.values = (const int8_t *)input;
    }
    return target;
}

static fg_status evaluate_one(fg_node *node, bool *more) {
    fg_work_state *work = &node->work;
    const fg_target target = load(node, &node->image.eval, work->sample);
    fg_metrics metrics = {0U, 0U, false};
    const fg_status status = node->config.model->evaluate(&node->config.state, &target, &metrics);
    work->eval_loss += metrics.loss;
    work->correct += metrics.correct ? 1U : 0U;
    work->evaluated++;
    work->sample++;
    *more = work->sample < node->image.eval.count;
    return status;
}

/* One update from the rows collected so far. */
static fg_status step(fg_node *node) {
    fg_work_state *work = &node->work;
    const fg_step terms = {.lr_mantissa = node->terms.lr_mantissa,
                           .lr_exponent = node->terms.lr_exponent,
                           .key = fg_step_key(work->key, work->steps)};
    const uint32_t rows = work->row;
    work->row = 0U;
    work->steps++;
    return node->config.model->apply(&node->config.state, rows, &terms);
}

/* Puts the next training sample of the epoch into the model's input. */
static fg_target visit(fg_node *node, bool measure) {
    fg_work_state *work = &node->work;
    if (work->sample == 0U) {
        work->order = fg_order_begin(work->key, work->epoch, node->image.train.count);
    }
    node->config.state.measure = measure && work->measured < MEASURED_MOST;
    work->measured += node->config.state.measure ? 1U : 0U;
    work->visits++;
    return load(node, &node->image.train, fg_order_take(&work->order));
}

static fg_status measure_one(fg_node *node, bool *more) {
    fg_work_state *work = &node->work;
    const uint32_t count = node->image.train.count;
    const uint32_t most =
        node->terms.max_steps < MEASURED_MOST ? node->terms.max_steps : MEASURED_MOST;
    const fg_target target = visit(node, true);
    fg_metrics metrics = {0U, 0U, false};
    const fg_status status = node->config.model->evaluate(&node->config.state, &target, &metrics);
    work->train_loss += metrics.loss;
    work->sample++;
    *more = work->sample < count && work->measured < (most == 0U ? MEASURED_MOST : most);
    return status;
}

static fg_status train_one(fg_node *node, bool *more) {
    fg_work_state *work = &node->work;
    const uint32_t count = node->image.train.count;
    const fg_target target = visit(node, work->visits % MEASURED_EVERY == 0U);
    fg_metrics metrics = {0U, 0U, false};
    fg_status status =
        node->config.model->accumulate(&node->config.state, &target, work->row, &metrics);
    work->train_loss += metrics.loss;
    work->row++;
    work->sample++;
    if (status == FG_OK && (work->row == node->terms.batch || work->sample == count)) {
        status = step(node);
    }
    if (work->sample == count) {
        work->sample = 0U;
        work->epoch++;
    }
    *more = work->epoch < node->terms.epochs &&
            (node->terms.max_steps == 0U || work->steps < node->terms.max_steps);
    return status;
}

fg_status fg_work_next(fg_node *node, bool *more) {
    *more = true;
    if (node->phase == FG_PHASE_MEASURING) {
        return measure_one(node, more);
    }
    if (node->phase == FG_PHASE_TRAINING) {
        return train_one(node, more);
    }
    const fg_status status = evaluate_one(node, more);
    if (!*more && (node->terms.work & FG_WORK_TRAIN) != 0U) {
        node->work.sample = 0U;
        node->phase = FG_PHASE_TRAINING;
        *more = true;
    }
    return status;
}

static uint16_t saturate(uint32_t value) {
    return value > UINT16_MAX ? (uint16_t)UINT16_MAX : (uint16_t)value;
}

/* Squared errors reach 2^16 squared units: of them, a quarter is enough. */
static uint16_t mean_loss(const fg_node *node, uint64_t sum, uint32_t count) {
    const bool squares = node->config.model->loss == FG_LOSS_SQUARED_ERROR;
    return fg_quotient(squares ? (sum + 128U) >> 8 : sum, count);
}

fg_msg_update_header fg_work_summary(const fg_node *node) {
    const fg_work_state *work = &node->work;
    const uint32_t samples = node->image.train.count;
    const fg_msg_update_header summary = {
        .crc = 0U,
        .round = node->terms.round,
        .version_tag = node->terms.version_tag,
        .samples = saturate(work->visits < samples ? work->visits : samples),
        .eval_samples = saturate(work->evaluated),
        .eval_correct = saturate(work->correct),
        .eval_loss = mean_loss(node, work->eval_loss, work->evaluated),
        .train_loss = mean_loss(node, work->train_loss, work->visits),
    };
    return summary;
}
