/* SPDX-License-Identifier: Apache-2.0 */

/* Runs inferences or training steps in an emulator and says what came out, how many ticks each one
 * took and how deep the stack went. The job lies in memory, put there by the emulator's loader; the
 * result goes to a file through semihosting. host/fleetgrad/toolchain/bench.py writes and reads
 * both.
 *
 * Job, little-endian words: magic, version, mode, count, rows, samples, target_bytes, labels (1:
 * the targets are labels), lr_mantissa, lr_exponent, round_key, param_bytes (0: as exported); then
 * parameters, inputs, targets.
 * Result: count records, for training the parameters, then the trailer of TRAILER_WORDS words. */

#include <stdbool.h>
#include <string.h>

#include "core.h"
#include "fleetgrad/fg_bytes.h"
#include "fleetgrad/fg_port.h"
#include "fleetgrad/fg_rng.h"
#include "model.h"
#include "semihosting.h"

#define JOB_MAGIC    0x4A424746U /* "FGBJ" */
#define RESULT_MAGIC 0x52424746U /* "FGBR" */
#define JOB_VERSION  1U

enum { MODE_FORWARD = 1, MODE_TRAIN = 2 };

enum { JOB_WORDS = 12, TRAILER_WORDS = 8, STEP_WORDS = 3 };

/* Of a loop of two instructions, to learn how long one takes. */
#define CALIBRATION_ROUNDS 1000U

#define STACK_PAINT 0xA5A5A5A5U

#define AT_LEAST_ONE(bytes) ((bytes) > 0U ? (bytes) : 1U)

extern const uint8_t fg_job_start[];
extern uint32_t fg_stack_bottom[];
extern const uint8_t fg_stack_bytes[]; /* its address is the size */

static _Alignas(FG_ALIGNMENT) uint8_t arena[AT_LEAST_ONE(FG_MODEL_ARENA_BYTES)];
static _Alignas(FG_ALIGNMENT) uint8_t params[AT_LEAST_ONE(FG_MODEL_PARAM_BYTES)];
static _Alignas(FG_ALIGNMENT) int8_t shadow[AT_LEAST_ONE(FG_MODEL_SHADOW_BYTES)];
static _Alignas(FG_ALIGNMENT) uint8_t persistent[AT_LEAST_ONE(FG_MODEL_PERSISTENT_BYTES)];

static const fg_model_state state = {
    .arena = arena, .params = params, .shadow = shadow, .persistent = persistent};

typedef struct job {
    uint32_t mode;
    uint32_t count;   /* inferences or steps */
    uint32_t rows;    /* per step */
    uint32_t samples; /* used over and over */
    uint32_t target_bytes;
    bool labels;
    fg_step step;
    uint32_t round_key;
    const uint8_t *params; /* NULL: as exported */
    const uint8_t *inputs;
    const uint8_t *targets;
} job;

static fg_status read_job(job *out) {
    const uint8_t *at = fg_job_start;
    uint32_t words[JOB_WORDS];
    for (uint32_t i = 0U; i < JOB_WORDS; i++) {
        words[i] = fg_load_u32(at + 4U * i);
    }
    if (words[0] != JOB_MAGIC || words[1] != JOB_VERSION) {
        return FG_ERR_FORMAT;
    }
    if (words[11] != 0U && words[11] != FG_MODEL_PARAM_BYTES) {
        return FG_ERR_SIZE;
    }
    at += 4U * JOB_WORDS;
    out->mode = words[2];
    out->count = words[3];
    out->rows = words[4];
    out->samples = words[5];
    out->target_bytes = words[6];
    out->labels = words[7] != 0U;
    out->step.lr_mantissa = (int32_t)words[8];
    out->step.lr_exponent = (int32_t)words[9];
    out->round_key = words[10];
    out->params = words[11] == 0U ? NULL : at;
    out->inputs = at + words[11];
    out->targets = out->inputs + (size_t)out->samples * FG_MODEL_INPUT_BYTES;
    return FG_OK;
}

static fg_target load(const job *work, uint32_t sample) {
    memcpy(arena + fg_generated_model.input_offset,
           work->inputs + (size_t)sample * FG_MODEL_INPUT_BYTES, FG_MODEL_INPUT_BYTES);
    const uint8_t *bytes = work->targets + (size_t)sample * work->target_bytes;
    const fg_target target = {.label = work->labels ? fg_load_u32(bytes) : 0U,
                              .values = work->labels ? NULL : (const int8_t *)bytes};
    return target;
}

/* One record: ticks, output. */
static fg_status forward(int32_t file, const job *work, uint32_t index) {
    (void)load(work, index % work->samples);
    const uint64_t start = fg_port_ticks();
    const fg_status status = fg_generated_model.forward(&state);
    const uint64_t ticks = fg_port_ticks() - start;
    if (semihosting_write(file, &ticks, sizeof ticks) != 0U ||
        semihosting_write(file, arena + fg_generated_model.output_offset, FG_MODEL_OUTPUT_BYTES) !=
            0U) {
        return FG_ERR_STATE;
    }
    return status;
}

/* One record: ticks of the rows, ticks of the update, sum of the losses. */
static fg_status train(int32_t file, const job *work, uint32_t index) {
    uint64_t record[STEP_WORDS] = {0U, 0U, 0U};
    for (uint32_t row = 0U; row < work->rows; row++) {
        fg_metrics metrics = {0U, 0U, false};
        const fg_target target = load(work, (index * work->rows + row) % work->samples);
        const uint64_t start = fg_port_ticks();
        const fg_status status = fg_generated_model.accumulate(&state, &target, row, &metrics);
        record[0] += fg_port_ticks() - start;
        record[2] += metrics.loss;
        if (status != FG_OK) {
            return status;
        }
    }
    fg_step step = work->step;
    step.key = fg_step_key(work->round_key, index);
    const uint64_t start = fg_port_ticks();
    const fg_status status = fg_generated_model.apply(&state, work->rows, &step);
    record[1] = fg_port_ticks() - start;
    return semihosting_write(file, record, sizeof record) == 0U ? status : FG_ERR_STATE;
}

static fg_status run(int32_t file, const job *work) {
    fg_status status = fg_generated_model.reset(&state);
    if (FG_MODEL_PARAM_BYTES > 0U && status == FG_OK) {
        memcpy(params, work->params == NULL ? fg_generated_model.initial_params : work->params,
               FG_MODEL_PARAM_BYTES);
        status = fg_generated_model.refresh(&state);
    }
    for (uint32_t i = 0U; i < work->count && status == FG_OK; i++) {
        status = work->mode == MODE_TRAIN ? train(file, work, i) : forward(file, work, i);
    }
    if (status == FG_OK && work->mode == MODE_TRAIN &&
        semihosting_write(file, params, FG_MODEL_PARAM_BYTES) != 0U) {
        status = FG_ERR_STATE;
    }
    return status;
}

/* Not inlined: both calls must be the same instructions but for the rounds. */
__attribute__((noinline)) static uint32_t loop(uint32_t rounds) {
    const uint64_t start = fg_port_ticks();
    core_spin(rounds);
    return (uint32_t)(fg_port_ticks() - start);
}

/* Ticks of 2 * CALIBRATION_ROUNDS instructions: what surrounds the loop cancels out. */
static uint32_t calibrate(void) {
    const uint32_t once = loop(CALIBRATION_ROUNDS);
    return loop(2U * CALIBRATION_ROUNDS) - once;
}

/* Ticks that measuring itself takes. */
static uint32_t overhead(void) {
    const uint64_t start = fg_port_ticks();
    return (uint32_t)(fg_port_ticks() - start);
}

static void paint_stack(void) {
    const uintptr_t top = core_stack_pointer();
    for (uint32_t *word = fg_stack_bottom; (uintptr_t)word < top; word++) {
        *word = STACK_PAINT;
    }
}

static uint32_t stack_used(void) {
    const uint32_t words = (uint32_t)(uintptr_t)fg_stack_bytes / 4U;
    uint32_t free_words = 0U;
    while (free_words < words && fg_stack_bottom[free_words] == STACK_PAINT) {
        free_words++;
    }
    return (words - free_words) * 4U;
}

void fg_app_run(void) {
    job work;
    fg_port_init();
    const int32_t file = semihosting_create();
    if (file < 0) {
        semihosting_exit(2U);
    }
    paint_stack();
    fg_status status = read_job(&work);
    if (status == FG_OK) {
        status = run(file, &work);
    }
    const uint32_t trailer[TRAILER_WORDS] = {
        RESULT_MAGIC, JOB_VERSION,        (uint32_t)status, calibrate(),
        overhead(),   CALIBRATION_ROUNDS, stack_used(),     0U,
    };
    semihosting_exit(semihosting_write(file, trailer, sizeof trailer) == 0U ? 0U : 1U);
}
