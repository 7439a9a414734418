/* SPDX-License-Identifier: Apache-2.0 */
/* Runs models over samples from stdin, for sanitizers: every memory block is its own allocation of
 * the exact size, so that one byte too many is noticed.
 *
 * stdin: per sample the model's index (one byte) and the input; stdout: the outputs, one after the
 * other. MODEL_COUNT models are called model_0, model_1, ... */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleetgrad/fg_model.h"
#include "models.h" /* extern declarations, and the table `models` */

static int run(const fg_model *model) {
    uint8_t *arena = malloc(model->arena_bytes); /* aligned for anything */
    if (arena == NULL) {
        return 1;
    }
    memset(arena, 0xa5, model->arena_bytes);
    uint8_t *persistent = malloc(model->persistent_bytes);
    const fg_model_state state = {.arena = arena, .persistent = persistent};
    int failed = model->reset(&state) != FG_OK;
    failed = failed ||
             fread(arena + model->input_offset, 1, model->input_bytes, stdin) != model->input_bytes;
    failed = failed || model->forward(&state) != FG_OK;
    failed = failed || fwrite(arena + model->output_offset, 1, model->output_bytes, stdout) !=
                           model->output_bytes;
    free(persistent);
    free(arena);
    return failed;
}

int main(void) {
    for (int index = getchar(); index != EOF; index = getchar()) {
        if ((size_t)index >= sizeof models / sizeof models[0] || run(models[index]) != 0) {
            return 1;
        }
    }
    return 0;
}
