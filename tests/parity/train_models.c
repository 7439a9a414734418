/* SPDX-License-Identifier: Apache-2.0 */
/* Trains models on samples made up from a counter, for sanitizers: every memory block is its own
 * allocation of the exact size. Prints a checksum of the parameters of each model. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleetgrad/fg_model.h"
#include "fleetgrad/fg_rng.h"
#include "models.h" /* extern declarations, and the table `models` */

#define STEPS 60U

static int train(const fg_model *model, const fg_model_state *state) {
    int8_t *values = malloc(model->target_bytes + 1U);
    int failed = values == NULL;
    for (uint32_t i = 0; !failed && i < STEPS; i++) {
        for (uint32_t j = 0; j < model->input_bytes; j++) {
            state->arena[model->input_offset + j] = (uint8_t)fg_mix32(i * 7919U + j);
        }
        for (uint32_t j = 0; j < model->target_bytes; j++) {
            values[j] = (int8_t)fg_mix32(i * 104729U + j);
        }
        /* Rates from far too small to far too large: nothing may leave its range. */
        const fg_step step = {16384 + (int32_t)(i * 17U), (int32_t)(i % 40U) - 24, fg_mix32(i)};
        const fg_target target = {i % 3U, values};
        fg_metrics metrics = {0U, 0U, false};
        failed = model->accumulate(state, &target, 0U, &metrics) != FG_OK ||
                 model->apply(state, 1U, &step) != FG_OK;
    }
    free(values);
    return failed;
}

static int run(const fg_model *model) {
    uint8_t *arena = malloc(model->arena_bytes);
    uint8_t *params = malloc(model->param_bytes);
    int8_t *shadow = malloc(model->shadow_bytes + 1U);
    int failed = arena == NULL || params == NULL || shadow == NULL;
    if (!failed) {
        memset(arena, 0xa5, model->arena_bytes);
        memcpy(params, model->initial_params, model->param_bytes);
        const fg_model_state state = {.arena = arena, .params = params, .shadow = shadow};
        failed = model->refresh(&state) != FG_OK || train(model, &state);
        uint32_t sum = 0;
        for (uint32_t i = 0; i < model->param_bytes; i++) {
            sum = fg_mix32(sum ^ params[i]);
        }
        (void)printf("%08x\n", (unsigned)sum);
    }
    free(shadow);
    free(params);
    free(arena);
    return failed;
}

int main(void) {
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        if (run(models[i]) != 0) {
            return 1;
        }
    }
    return 0;
}
