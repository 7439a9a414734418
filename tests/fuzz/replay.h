/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPLAY_H
#define REPLAY_H

/* A fuzzer's harness as a program that runs the files it is given, for compilers without libFuzzer.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **paths) {
    static uint8_t data[1U << 16];
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(paths[i], "rb");
        if (file == NULL) {
            return 2;
        }
        const size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        /* A copy of exactly this size, so that reading beyond it is seen. */
        uint8_t *copy = malloc(size > 0U ? size : 1U);
        if (copy == NULL) {
            return 2;
        }
        memcpy(copy, data, size);
        (void)LLVMFuzzerTestOneInput(copy, size);
        free(copy);
    }
    return 0;
}

#endif
