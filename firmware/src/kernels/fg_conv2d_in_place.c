/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fg_fixed_point.h"
#include "fg_target.h"
#include "fleetgrad/fg_kernels.h"

#if FG_MVE
#include "mve/fg_mve.h"
#endif

#if FG_MVE

static void copy(int8_t *to, const int8_t *from, int32_t count) {
    fg_copy_bytes(to, from, count);
}

/* Kernels take three pixels together. */
static int32_t whole(int32_t pixels) {
    return pixels < 3 ? pixels : pixels / 3 * 3;
}

#else

static void copy(int8_t *to, const int8_t *from, int32_t count) {
    memcpy(to, from, (size_t)count);
}

static int32_t whole(int32_t pixels) {
    return pixels;
}

#endif

/* Blocks of pixels are copied, and computed into the place of what was copied last. Where pixels
 * grow the last block comes first: an output never reaches a pixel that is still to be read. */
void fg_conv2d_in_place(const fg_conv2d_params *params, const int8_t *weights, const int32_t *bias,
                        int8_t *scratch, int8_t *data) {
    const int32_t inputs = params->in_channels;
    const int32_t outputs = params->out_channels;
    const int32_t pixels = params->window.out_h * params->window.out_w;
    const int32_t most = fg_in_place_pixels(inputs);
    int8_t *rest = scratch + (most * inputs + 3) / 4 * 4;
    fg_conv2d_params block = *params;
    block.window.in_h = 1;
    block.window.out_h = 1;
    int32_t done = 0;
    while (done < pixels) {
        const int32_t count = fg_min(pixels - done, whole(most));
        const int32_t first = outputs > inputs ? pixels - done - count : done;
        block.window.in_w = (int16_t)count;
        block.window.out_w = (int16_t)count;
        copy(scratch, data + first * inputs, count * inputs);
        fg_conv2d(&block, weights, bias, scratch, rest, data + first * outputs);
        done += count;
    }
}
