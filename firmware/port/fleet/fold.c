/* SPDX-License-Identifier: Apache-2.0 */
#include "fold.h"

#include "../../src/device/update.h"
#include "fleetgrad/fg_rng.h"
#include "fleetgrad/fg_train.h"

/* A sum of hashes: of every number that counts, with its place and its device. */
static uint32_t digest_key(const fg_node *node, const fg_msg_update_header *head) {
    uint32_t key = fg_round_key(head->version_tag, head->round, node->image.device_id);
    key = fg_mix32(key ^ (head->samples | ((uint32_t)head->train_loss << 16)));
    key = fg_mix32(key ^ (head->eval_samples | ((uint32_t)head->eval_correct << 16)));
    return fg_mix32(key ^ head->eval_loss);
}

static uint64_t digest_of(uint32_t key, uint32_t place, const int8_t *deltas, uint32_t count) {
    uint64_t digest = 0U;
    for (uint32_t i = 0U; i < count; i++) {
        digest += fg_mix32(key ^ (((place + i) << 8) | (uint8_t)deltas[i]));
    }
    return digest;
}

/* Modulo 2^64: whether a sum can have left that range, `bounds` tell. */
static void add(int64_t *sums, const int8_t *deltas, uint32_t count, int64_t scale) {
    for (uint32_t i = 0U; i < count; i++) {
        sums[i] = (int64_t)((uint64_t)sums[i] + (uint64_t)(deltas[i] * scale));
    }
}

static uint64_t capped_sum(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void fold_ranges(const fg_node *node, fg_fleet_sums *sums) {
    const fg_model *model = node->config.model;
    if (model->range_count == 0U) {
        return;
    }
    sums->totals.measured += node->work.measured;
    for (uint32_t r = 0U; r < model->range_count; r++) {
        sums->clipped[r] += (uint64_t)node->work.measured *
                            fg_update_clipped(&node->config, node->work.measured, r);
    }
}

void fg_fleet_fold(const fg_node *node, const fg_msg_update_header *head, int8_t *deltas,
                   fg_fleet_sums *sums, fg_fleet_record *record) {
    const fg_node_config *config = &node->config;
    const fg_model *model = config->model;
    fg_fleet_totals *totals = &sums->totals;
    const uint32_t key = digest_key(node, head);
    uint32_t place = 0U;
    if ((node->terms.work & FG_WORK_TRAIN) != 0U) {
        for (uint32_t s = 0U; s < model->segment_count; s++) {
            const fg_segment *segment = &model->segments[s];
            const uint8_t *params = config->state.params;
            const uint8_t exponent =
                fg_delta_exponent(fg_delta_peak(segment, params, config->base));
            const uint64_t scale = (uint64_t)head->samples << exponent;
            const uint32_t full = fg_saturated(segment, params, config->base);
            fg_delta_values(segment, params, config->base, exponent, deltas);
            add(sums->deltas + place, deltas, segment->count, (int64_t)scale);
            sums->bounds[s] = capped_sum(sums->bounds[s], 127U * scale);
            totals->digest += digest_of(fg_mix32(key + exponent), place, deltas, segment->count);
            sums->saturated[s] += full > UINT8_MAX ? UINT8_MAX : full;
            sums->saturating[s] += full > 0U ? 1U : 0U;
            place += segment->count;
        }
        totals->samples += head->samples;
        totals->train_loss += (uint64_t)head->samples * head->train_loss;
    }
    if ((node->terms.work & (FG_WORK_TRAIN | FG_WORK_MEASURE)) != 0U) {
        fold_ranges(node, sums);
    }
    totals->digest += key;
    totals->updates++;
    totals->eval_samples += head->eval_samples;
    totals->eval_correct += head->eval_correct;
    totals->eval_loss += (uint64_t)head->eval_samples * head->eval_loss;
    totals->steps += node->work.steps;
    record->steps = node->work.steps;
    record->samples = head->samples;
    record->eval_samples = head->eval_samples;
    record->eval_correct = head->eval_correct;
    record->eval_loss = head->eval_loss;
    record->train_loss = head->train_loss;
}
