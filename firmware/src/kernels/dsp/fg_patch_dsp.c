/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "../fg_fixed_point.h"
#include "../fg_patch.h"
#include "../fg_target.h"
#include "fg_patch_dsp.h"

#if FG_DSP && !FG_MVE

static FG_INLINE uint32_t *put_quad(uint32_t *words, uint32_t bytes) {
    words[0] = fg_even_bytes(bytes);
    words[1] = fg_odd_bytes(bytes);
    return words + FG_QUAD_WORDS;
}

static uint32_t *spread(const int8_t *bytes, int32_t count, uint32_t *words) {
    for (; count >= 8; count -= 8) {
        words = put_quad(words, fg_load_quad(bytes));
        words = put_quad(words, fg_load_quad(bytes + 4));
        bytes += 8;
    }
    if (count >= 4) {
        words = put_quad(words, fg_load_quad(bytes));
        bytes += 4;
        count -= 4;
    }
    if (count > 0) {
        words = put_quad(words, fg_load_some(bytes, count));
    }
    return words;
}

static uint32_t *spread_fill(int8_t fill, int32_t count, uint32_t *words) {
    const uint32_t bytes = (uint8_t)fill * 0x01010101U;
    for (; count > 0; count -= 4) {
        words = put_quad(words, bytes);
    }
    return words;
}

/* `count` neighbouring pixels of one row, from column `left`; `row` is NULL above and below. */
static uint32_t *spread_run(const int8_t *row, int32_t width, int32_t channels, int32_t left,
                            int32_t count, int8_t fill, uint32_t *words) {
    const int32_t first = row == NULL ? count : fg_clamp(-left, 0, count);
    const int32_t end = row == NULL ? count : fg_clamp(width - left, first, count);
    words = spread_fill(fill, first * channels, words);
    if (end > first) {
        words = spread(row + (left + first) * channels, (end - first) * channels, words);
    }
    return spread_fill(fill, (count - end) * channels, words);
}

void fg_spread_patch(const fg_window *window, int32_t channels, int32_t top, int32_t left,
                     int8_t fill, const int8_t *input, int8_t *bytes, uint32_t *words) {
    const int32_t taps = window->kernel_h * window->kernel_w * channels;
    if (fg_window_contiguous(window)) {
        spread(input + (top * window->in_w + left) * channels, taps, words);
        return;
    }
    if ((channels & 3) != 0) {
        fg_gather_patch(window, channels, top, left, fill, input, bytes);
        spread(bytes, taps, words);
        return;
    }
    const int32_t run = window->dilation_w == 1 ? window->kernel_w : 1;
    for (int32_t ky = 0; ky < window->kernel_h; ++ky) {
        const int32_t y = top + ky * window->dilation_h;
        const int8_t *row = y >= 0 && y < window->in_h ? input + y * window->in_w * channels : NULL;
        for (int32_t kx = 0; kx < window->kernel_w; kx += run) {
            const int32_t x = left + kx * window->dilation_w;
            words = spread_run(row, window->in_w, channels, x, run, fill, words);
        }
    }
}

#endif
