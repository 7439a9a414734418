/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "../fg_fixed_point.h"
#include "../fg_patch.h"
#include "../fg_target.h"
#include "fg_patch_dsp.h"

#if FG_DSP && !FG_MVE

static FG_INLINE uint32_t *put_quad(uint32_t *words, uint32_t bytes, int32_t gap) {
    words[0] = fg_even_bytes(bytes);
    words[gap] = fg_odd_bytes(bytes);
    return words + FG_QUAD_WORDS;
}

static uint32_t *spread(const int8_t *bytes, int32_t count, int32_t gap, uint32_t *words) {
    for (; count >= 8; count -= 8) {
        words = put_quad(words, fg_load_quad(bytes), gap);
        words = put_quad(words, fg_load_quad(bytes + 4), gap);
        bytes += 8;
    }
    if (count >= 4) {
        words = put_quad(words, fg_load_quad(bytes), gap);
        bytes += 4;
        count -= 4;
    }
    if (count > 0) {
        words = put_quad(words, fg_load_some(bytes, count), gap);
    }
    return words;
}

static uint32_t *spread_fill(int8_t fill, int32_t count, int32_t gap, uint32_t *words) {
    const uint32_t bytes = (uint8_t)fill * 0x01010101U;
    for (; count > 0; count -= 4) {
        words = put_quad(words, bytes, gap);
    }
    return words;
}

/* `count` neighbouring pixels of one row, from column `left`; `row` is NULL above and below. */
static uint32_t *spread_run(const int8_t *row, int32_t width, int32_t channels, int32_t left,
                            int32_t count, int8_t fill, int32_t gap, uint32_t *words) {
    const int32_t first = row == NULL ? count : fg_clamp(-left, 0, count);
    const int32_t end = row == NULL ? count : fg_clamp(width - left, first, count);
    words = spread_fill(fill, first * channels, gap, words);
    if (end > first) {
        words = spread(row + (left + first) * channels, (end - first) * channels, gap, words);
    }
    return spread_fill(fill, (count - end) * channels, gap, words);
}

fg_spreading fg_spreading_of(const fg_window *window, int32_t channels, int8_t fill, int8_t *bytes,
                             int32_t gap) {
    const fg_spreading spreading = {window, channels, fill, fg_window_contiguous(window),
                                    bytes,  gap};
    return spreading;
}

void fg_spread_patch(const fg_spreading *of, int32_t top, int32_t left, const int8_t *input,
                     uint32_t *words) {
    const fg_window *const window = of->window;
    const int32_t channels = of->channels;
    const int32_t gap = of->gap;
    const int32_t taps = window->kernel_h * window->kernel_w * channels;
    if (of->contiguous) {
        spread(input + (top * window->in_w + left) * channels, taps, gap, words);
        return;
    }
    if ((channels & 3) != 0) {
        fg_gather_patch(window, channels, top, left, of->fill, input, of->bytes);
        spread(of->bytes, taps, gap, words);
        return;
    }
    const int32_t run = window->dilation_w == 1 ? window->kernel_w : 1;
    for (int32_t ky = 0; ky < window->kernel_h; ++ky) {
        const int32_t y = top + ky * window->dilation_h;
        const int8_t *row = y >= 0 && y < window->in_h ? input + y * window->in_w * channels : NULL;
        for (int32_t kx = 0; kx < window->kernel_w; kx += run) {
            const int32_t x = left + kx * window->dilation_w;
            words = spread_run(row, window->in_w, channels, x, run, of->fill, gap, words);
        }
    }
}

#endif
