/* SPDX-License-Identifier: Apache-2.0 */
#include "fleetgrad/fg_reservoir.h"

#include <stddef.h>
#include <string.h>

#include "fleetgrad/fg_rng.h"

#define CAPACITY_MOST 65535U
#define CLASSES_MOST  256U

/* Words of a sample's random numbers. */
enum { CHANCE = 0, PLACE = 1, DRAWS = 2 };

fg_status fg_reservoir_init(fg_reservoir *reservoir, const fg_reservoir_config *config) {
    const bool waits = config->waiting > 0U;
    if (config->inputs == NULL || config->labels == NULL || config->tallies == NULL ||
        config->sample_bytes == 0U || config->capacity == 0U || config->capacity > CAPACITY_MOST ||
        config->classes == 0U || config->classes > CLASSES_MOST ||
        (waits && (config->waiting_inputs == NULL || config->tickets == NULL))) {
        return FG_ERR_ARGUMENT;
    }
    memset(reservoir, 0, sizeof *reservoir);
    reservoir->config = *config;
    memset(config->tallies, 0, config->classes * sizeof config->tallies[0]);
    for (uint32_t i = 0U; i < config->waiting; i++) {
        config->tickets[i] = 0U;
    }
    return FG_OK;
}

/* Word `which` of the sample that is being added, below `limit`. */
static uint32_t draw(const fg_reservoir *reservoir, uint32_t which, uint32_t limit) {
    const uint32_t word = fg_mix32(reservoir->config.key + reservoir->added * DRAWS + which);
    return (uint32_t)(((uint64_t)word * limit) >> 32);
}

/* Marks the largest classes full; returns how many samples each of them holds. */
static uint32_t find_largest(const fg_reservoir *reservoir, uint32_t *ties) {
    fg_class_tally *tallies = reservoir->config.tallies;
    uint32_t largest = 0U;
    for (uint32_t c = 0U; c < reservoir->config.classes; c++) {
        largest = tallies[c].held > largest ? tallies[c].held : largest;
    }
    *ties = 0U;
    for (uint32_t c = 0U; c < reservoir->config.classes; c++) {
        if (tallies[c].held == largest) {
            tallies[c].full = true;
            (*ties)++;
        }
    }
    return largest;
}

/* The class with that number, from 0, among the largest ones. */
static uint32_t victim_class(const fg_reservoir *reservoir, uint32_t largest, uint32_t tie) {
    uint32_t c = 0U;
    for (;; c++) {
        if (reservoir->config.tallies[c].held == largest && tie-- == 0U) {
            return c;
        }
    }
}

/* Where the `index`th sample of a class lies. */
static uint32_t find(const fg_reservoir *reservoir, uint32_t label, uint32_t index) {
    uint32_t slot = 0U;
    for (;; slot++) {
        if (reservoir->config.labels[slot] == label && index-- == 0U) {
            return slot;
        }
    }
}

/* The slot that a sample of class `label` takes; the capacity where it is dropped. */
static uint32_t place(fg_reservoir *reservoir, uint32_t label) {
    const fg_reservoir_config *config = &reservoir->config;
    fg_class_tally *own = &config->tallies[label];
    if (reservoir->count < config->capacity) {
        return reservoir->count++;
    }
    uint32_t ties = 0U;
    const uint32_t largest = find_largest(reservoir, &ties);
    if (!own->full) {
        const uint32_t drawn = draw(reservoir, PLACE, largest * ties);
        const uint32_t victim = victim_class(reservoir, largest, drawn / largest);
        config->tallies[victim].held--;
        return find(reservoir, victim, drawn % largest);
    }
    /* A plain reservoir within the class: each of its samples stays with the same chance. */
    if (draw(reservoir, CHANCE, own->seen) >= own->held) {
        return config->capacity;
    }
    const uint32_t slot = find(reservoir, label, draw(reservoir, PLACE, own->held));
    own->held--;
    return slot;
}

fg_status fg_sample_add(fg_reservoir *reservoir, const int8_t *sample, uint32_t label) {
    const fg_reservoir_config *config = &reservoir->config;
    if (label >= config->classes) {
        return FG_ERR_ARGUMENT;
    }
    fg_class_tally *own = &config->tallies[label];
    own->seen += own->seen < UINT32_MAX ? 1U : 0U;
    const uint32_t slot = place(reservoir, label);
    if (slot < config->capacity) {
        memcpy(config->inputs + (size_t)slot * config->sample_bytes, sample, config->sample_bytes);
        config->labels[slot] = (uint8_t)label;
        own->held++;
    }
    reservoir->added++;
    return FG_OK;
}

fg_status fg_sample_hold(fg_reservoir *reservoir, const int8_t *sample, uint32_t *ticket) {
    const fg_reservoir_config *config = &reservoir->config;
    if (config->waiting == 0U) {
        return FG_ERR_UNSUPPORTED;
    }
    reservoir->ticket += reservoir->ticket == UINT32_MAX ? 2U : 1U; /* never 0 */
    const uint32_t slot = reservoir->ticket % config->waiting;
    reservoir->unlabeled += config->tickets[slot] != 0U ? 1U : 0U;
    memcpy(config->waiting_inputs + (size_t)slot * config->sample_bytes, sample,
           config->sample_bytes);
    config->tickets[slot] = reservoir->ticket;
    *ticket = reservoir->ticket;
    return FG_OK;
}

fg_status fg_sample_label(fg_reservoir *reservoir, uint32_t ticket, uint32_t label) {
    const fg_reservoir_config *config = &reservoir->config;
    const uint32_t slot = config->waiting > 0U ? ticket % config->waiting : 0U;
    if (ticket == 0U || config->waiting == 0U || config->tickets[slot] != ticket) {
        return FG_ERR_STATE;
    }
    const uint8_t *sample = config->waiting_inputs + (size_t)slot * config->sample_bytes;
    const fg_status status = fg_sample_add(reservoir, (const int8_t *)sample, label);
    if (status == FG_OK) {
        config->tickets[slot] = 0U;
    }
    return status;
}

fg_samples fg_reservoir_samples(const fg_reservoir *reservoir) {
    const fg_samples held = {reservoir->config.inputs, reservoir->config.labels, reservoir->count};
    return held;
}
