/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "chip.h"

/* Written by the toolchain: where large arrays lie outside of the main memory. */
typedef struct region {
    uint8_t *start;
    size_t bytes;
} region;

extern const region fg_regions_start[];
extern const region fg_regions_end[];

void port_clear_regions(void) {
    for (const region *one = fg_regions_start; one != fg_regions_end; one++) {
        memset(one->start, 0, one->bytes);
    }
}
