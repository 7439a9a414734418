/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_FLEET_H
#define FG_FLEET_H

/* Rounds of many virtual devices in one call: each trains as a node does, with a node's code, and
 * its update is added to exact sums at once. No link, no frames, nothing kept of a device but its
 * share in the sums, so that a million of them cost time and no memory. Threads call this with
 * memory and sums of their own; sums commute, so how a fleet is cut up cannot change a result. */

#include <stddef.h>
#include <stdint.h>

#include "fg_virtual.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The training or the held-out samples of all devices, out of one pool. */
typedef struct fg_fleet_part {
    const uint8_t *inputs;  /* of the pool: sample_bytes each */
    const uint8_t *targets; /* target_bytes each */
    const uint64_t *first;  /* device d has samples first[d] .. first[d + 1] - 1 ... */
    const uint32_t *rows;   /* ... of this list of places in the pool; NULL: of the pool itself */
} fg_fleet_part;

/* Samples that are computed when they are needed, from (seed, device, number): a label, and one of
 * the pool's inputs, the one at the label's place, with noise. Labels fit one byte. */
typedef struct fg_fleet_drawn {
    uint32_t enabled; /* 0: the parts say where the samples are */
    uint32_t seed;
    uint32_t classes;     /* inputs in the pool of `train` */
    uint32_t train_least; /* samples to train on, at least ... */
    uint32_t train_most;  /* ... and at most */
    uint32_t eval_count;  /* held-out samples */
    uint32_t own;         /* how many of 256 samples are of the device's own class */
    uint32_t noise;       /* largest deviation from the pool's input, up to 127 */
} fg_fleet_drawn;

/* A fleet. Device d = 0, 1, .. has the id first_id + d. */
typedef struct fg_fleet {
    uint64_t first_id;
    uint32_t target_bytes;
    uint32_t target_kind; /* an fg_target_kind */
    uint32_t most_train;  /* samples to train on that any device has */
    uint32_t most_eval;   /* held-out samples, likewise */
    fg_fleet_part train;
    fg_fleet_part eval;
    fg_fleet_drawn drawn;
} fg_fleet;

/* The terms of a round: those of RoundOpen, and the parameters. */
typedef struct fg_fleet_round {
    uint32_t round;
    uint32_t version_tag;
    uint32_t seed;
    uint32_t lr_mantissa;
    int32_t lr_exponent;
    uint32_t epochs;
    uint32_t batch;
    uint32_t max_steps;
    uint32_t work;         /* bits of fg_work */
    const uint8_t *params; /* param_bytes */
} fg_fleet_round;

/* What one device came to, as in the header of its update. */
typedef struct fg_fleet_record {
    int32_t status; /* an fg_status; where it is not FG_OK the device's update does not count */
    uint32_t steps;
    uint16_t samples, eval_samples, eval_correct, eval_loss, train_loss;
    uint16_t unused;
} fg_fleet_record;

/* Sums over devices: n is a device's number of samples, s an exponent of its update. */
typedef struct fg_fleet_totals {
    uint64_t updates;      /* devices whose update counts */
    uint64_t failed;       /* devices whose work a kernel has refused */
    uint64_t empty;        /* devices without samples to train on: left out */
    uint64_t samples;      /* n: the weight of the sums */
    uint64_t train_loss;   /* n * mean loss */
    uint64_t eval_samples; /* m */
    uint64_t eval_correct;
    uint64_t eval_loss; /* m * mean loss */
    uint64_t steps;
    uint64_t measured; /* samples whose clipped outputs were counted */
    uint64_t digest;   /* of the updates: SPEC.md, "Virtual fleets" */
} fg_fleet_totals;

/* What a call adds to. Whoever makes it begins with zeros. */
typedef struct fg_fleet_sums {
    fg_fleet_totals totals;
    int64_t *deltas;      /* of every trained parameter: sum of n * delta * 2^s, modulo 2^64 */
    uint64_t *bounds;     /* of every segment: sum of n * 127 * 2^s, at most 2^64 - 1 */
    uint64_t *saturated;  /* of every segment: parameters that came to their limits ... */
    uint64_t *saturating; /* ... and devices where any did */
    uint64_t *clipped;    /* of every range: sum of measured * share of clipped outputs */
} fg_fleet_sums;

/* Bytes that a thread needs, FG_ALIGNMENT aligned. */
FG_VIRTUAL_API size_t fg_fleet_bytes(const fg_fleet *fleet);

/* The round of `count` devices, one after the other. `records` and `blobs` may be NULL; a blob is
 * the whole update as it would have been sent, blob_bytes for each device. Returns an fg_status:
 * FG_ERR_SIZE when `memory` or blob_bytes are wrong, FG_ERR_ARGUMENT for terms that a node would
 * refuse. */
FG_VIRTUAL_API int32_t fg_fleet_run(const fg_fleet *fleet, const fg_fleet_round *round,
                                    const uint32_t *devices, uint32_t count, void *memory,
                                    size_t memory_bytes, fg_fleet_sums *sums,
                                    fg_fleet_record *records, uint8_t *blobs, uint32_t blob_bytes);

/* The samples of one device, as its data image would hold them: inputs and targets of the training
 * part or (`held_out`) of the other. Returns how many there are. */
FG_VIRTUAL_API uint32_t fg_fleet_samples(const fg_fleet *fleet, uint32_t device, uint32_t held_out,
                                         uint8_t *inputs, uint8_t *targets);

/* Loss and hits of a model on `count` samples; adds eval_samples, eval_correct and eval_loss (here
 * the plain sum of losses) to `totals`. */
FG_VIRTUAL_API int32_t fg_fleet_score(const fg_fleet *fleet, const uint8_t *params,
                                      const uint8_t *inputs, const uint8_t *targets, uint32_t count,
                                      void *memory, size_t memory_bytes, fg_fleet_totals *totals);

#ifdef __cplusplus
}
#endif

#endif
