/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_RESERVOIR_H
#define FG_RESERVOIR_H

/* Samples that a device collects by itself, from its own sensors: as many as there is memory for,
 * of each class about equally many, and of a class those of all times alike. A class that keeps
 * coming does not push rare ones out; one that has room grows at the cost of the largest.
 *
 * This is class-balancing reservoir sampling (Chrysakis and Moens, "Online continual learning from
 * imbalanced data", ICML 2020) in integers. What is kept is a function of key and samples alone;
 * SPEC.md, "Samples of a device's own", has the definition. */

#include <stdbool.h>
#include <stdint.h>

#include "fleetgrad/fg_image.h"
#include "fleetgrad/fg_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is known of one class. */
typedef struct fg_class_tally {
    uint32_t seen; /* samples ever added; stays at its maximum */
    uint16_t held;
    bool full; /* was the largest one once: its new samples replace its own */
} fg_class_tally;

/* All memory is the caller's, who keeps it until the reservoir is gone. */
typedef struct fg_reservoir_config {
    uint8_t *inputs; /* capacity * sample_bytes: int8, in the quantisation of the model's input */
    uint8_t *labels; /* capacity */
    fg_class_tally *tallies; /* classes */
    uint32_t sample_bytes;
    uint32_t capacity; /* 1 .. 65535 */
    uint32_t classes;  /* 1 .. 256; 1 where there are none, as with autoencoders */
    uint32_t key;      /* of all that is random, e.g. fg_round_key(0, 0, device_id) */

    /* Samples whose label is to come; all NULL and 0 where none ever does. */
    uint8_t *waiting_inputs; /* waiting * sample_bytes */
    uint32_t *tickets;       /* waiting */
    uint32_t waiting;
} fg_reservoir_config;

/* Read it at will; only the functions below change it. */
typedef struct fg_reservoir {
    fg_reservoir_config config;
    uint32_t count;     /* samples held */
    uint32_t added;     /* samples ever added */
    uint32_t ticket;    /* the newest one given out; 0: none */
    uint32_t unlabeled; /* samples whose label did not come in time */
} fg_reservoir;

/* Empties it. FG_ERR_ARGUMENT where the config contradicts itself. */
fg_status fg_reservoir_init(fg_reservoir *reservoir,
                            const fg_reservoir_config *config) FG_MUST_CHECK;

/* Offers a sample, sample_bytes long, which is copied or dropped. Touches at most `capacity` labels
 * and one sample: a bounded time. FG_ERR_ARGUMENT: no such class. */
fg_status fg_sample_add(fg_reservoir *reservoir, const int8_t *sample,
                        uint32_t label) FG_MUST_CHECK;

/* Keeps a sample whose label is not known yet; a newer one takes the place of the oldest.
 * FG_ERR_UNSUPPORTED: nothing was set aside for that. */
fg_status fg_sample_hold(fg_reservoir *reservoir, const int8_t *sample,
                         uint32_t *ticket) FG_MUST_CHECK;

/* Adds a sample that was held. FG_ERR_STATE: it had to make room, or was labelled before;
 * FG_ERR_ARGUMENT: no such class. */
fg_status fg_sample_label(fg_reservoir *reservoir, uint32_t ticket, uint32_t label) FG_MUST_CHECK;

/* What is held, to train on or to evaluate with; it changes with the next sample. */
fg_samples fg_reservoir_samples(const fg_reservoir *reservoir);

#ifdef __cplusplus
}
#endif

#endif
