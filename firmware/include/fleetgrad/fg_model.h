/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_MODEL_H
#define FG_MODEL_H

/* What a generated model.c offers to the runtime: one constant descriptor, straight-line code
 * behind a few entry points, and all mutable state in memory that the caller owns. */

#include <stdbool.h>
#include <stdint.h>

#include "fleetgrad/fg_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Raised whenever generated code and runtime must change together. */
#define FG_MODEL_ABI 3U

/* Largest exponent of a range. */
#define FG_RANGE_MAX 3

/* The parameter vector is little-endian on the line and used in place. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "parameters are little-endian: this machine is not"
#endif

/* Alignment, in bytes, of every buffer the caller hands over. */
#define FG_ALIGNMENT 8U

typedef enum fg_loss {
    FG_LOSS_NONE = 0, /* inference only */
    FG_LOSS_SOFTMAX_CROSS_ENTROPY = 1,
    FG_LOSS_SQUARED_ERROR = 2,
    FG_LOSS_BINARY_CROSS_ENTROPY = 3
} fg_loss;

typedef enum fg_segment_kind {
    FG_SEGMENT_BIAS = 0,  /* int32, in units of s_x * s_w; within +-2^30 */
    FG_SEGMENT_WEIGHT = 1 /* int16 masters: 1/256 of the unit of the int8 weight */
} fg_segment_kind;

/* One trained tensor. Segments lie in the parameter vector one after the other, biases first, so
 * that the vector needs no padding and its little-endian bytes are what travels over the wire. */
typedef struct fg_segment {
    fg_segment_kind kind;
    uint32_t offset; /* bytes into the parameter vector */
    uint32_t count;  /* elements */
} fg_segment;

/* Memory the caller owns; sizes are in the descriptor. */
typedef struct fg_model_state {
    uint8_t *arena;  /* arena_bytes: activations, errors; from accumulate() to apply() batch rows */
    uint8_t *params; /* param_bytes: the parameter vector being trained */
    int8_t *shadow;  /* shadow_bytes: the masters rounded to int8, what the forward pass reads */
    uint8_t *persistent; /* persistent_bytes: state of operators such as SVDF, kept between runs,
                            and counters of ranges */
    bool measure;        /* the forward pass counts outputs that their ranges cut off */
} fg_model_state;

/* What a sample should have given: a class, or a vector in the output's own quantisation. */
typedef struct fg_target {
    uint32_t label;
    const int8_t *values;
} fg_target;

typedef struct fg_metrics {
    uint32_t loss; /* cross-entropy: 1/1024 bit; squared error: mean over outputs, 1/1024 (LSB of
                      the output)^2 */
    uint32_t predicted; /* index of the first maximum of the model's output; of a single chance,
                           whether it is 1/2 or more */
    bool correct;       /* predicted == label; false where targets are vectors */
} fg_metrics;

/* One SGD step. The learning rate is lr_mantissa * 2^(lr_exponent - 15), 2^14 <= lr_mantissa <
 * 2^15. */
typedef struct fg_step {
    int32_t lr_mantissa;
    int32_t lr_exponent;
    uint32_t key; /* of the counter-based generator: a hash of seed, device, round and step */
} fg_step;

typedef struct fg_model {
    uint32_t abi;      /* FG_MODEL_ABI */
    uint8_t digest[8]; /* head of the bundle's SHA-256: the identity that HELLO reports */
    uint32_t arena_bytes;
    uint32_t param_bytes;
    uint32_t shadow_bytes;
    uint32_t persistent_bytes; /* 0: the model has no state */
    uint32_t input_offset;     /* of the input tensor in the arena */
    uint32_t input_bytes;
    uint32_t output_offset; /* of the output tensor in the arena */
    uint32_t output_bytes;
    uint32_t target_bytes; /* bytes of fg_target.values; 0 where targets are labels */
    uint32_t batch;        /* most rows that accumulate() may collect before apply() */
    fg_loss loss;
    uint32_t segment_count;
    const fg_segment *segments;
    const uint8_t *initial_params; /* param_bytes: the parameter vector as exported */

    /* Activation scales that an update may replace: each is the exported one, doubled as often as
     * an exponent says. These int8, 0 to FG_RANGE_MAX, are the last range_count bytes of the
     * parameter vector. Outputs at an end of their range are counted in persistent memory, a
     * uint32_t for each range; refresh() begins anew. */
    uint32_t range_count;
    const uint32_t *range_values; /* outputs per sample that are looked at */
    uint32_t clipped_offset;      /* of the counters in the persistent memory */

    /* All entry points exist. Without a loss, evaluate(), accumulate() and apply() do nothing but
     * return FG_ERR_UNSUPPORTED. */

    /* Operators' state as at the beginning of a sequence; call before the first forward(). */
    fg_status (*reset)(const fg_model_state *state);
    /* Input (already in the arena; it may be overwritten) to output; state goes on from the last
     * forward(). */
    fg_status (*forward)(const fg_model_state *state);
    /* reset() and forward(), then the loss and the prediction against the target. */
    fg_status (*evaluate)(const fg_model_state *state, const fg_target *target,
                          fg_metrics *metrics);
    /* reset(), forward() and the loss; keeps what the update needs in row `row` < batch. */
    fg_status (*accumulate)(const fg_model_state *state, const fg_target *target, uint32_t row,
                            fg_metrics *metrics);
    /* One update of the parameters from the mean gradient of rows 0 .. rows-1; refreshes the
     * shadow. */
    fg_status (*apply)(const fg_model_state *state, uint32_t rows, const fg_step *step);
    /* Recomputes the shadow from the parameter vector; call after writing params, exponents
     * included. */
    fg_status (*refresh)(const fg_model_state *state);
} fg_model;

#ifdef __cplusplus
}
#endif

#endif
