/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_patch.h"

#include <string.h>

#include "fg_fixed_point.h"
#include "fg_target.h"

#if FG_MVE
#include "mve/fg_mve.h"
#endif

bool fg_window_inside(const fg_window *window, int32_t top, int32_t left) {
    const int32_t reach_h = (window->kernel_h - 1) * window->dilation_h;
    const int32_t reach_w = (window->kernel_w - 1) * window->dilation_w;
    return top >= 0 && left >= 0 && top + reach_h < window->in_h && left + reach_w < window->in_w;
}

bool fg_window_contiguous(const fg_window *window) {
    const bool one_run = window->kernel_w == 1 || window->dilation_w == 1;
    const bool whole_rows = window->kernel_w == window->in_w && window->dilation_h == 1;
    return one_run && (window->kernel_h == 1 || whole_rows) &&
           fg_window_inside(window, fg_window_top(window, 0), fg_window_left(window, 0)) &&
           fg_window_inside(window, fg_window_top(window, window->out_h - 1),
                            fg_window_left(window, window->out_w - 1));
}

#if FG_MVE

static void copy_run(int8_t *to, const int8_t *from, int32_t count) {
    fg_copy_bytes(to, from, count);
}

static void fill_run(int8_t *to, int8_t value, int32_t count) {
    fg_fill_bytes(to, value, count);
}

#else

/* Runs are often too short for a library's memcpy to pay for itself. */
static void copy_run(int8_t *to, const int8_t *from, int32_t count) {
    for (; count >= 4; count -= 4) {
        memcpy(to, from, 4);
        to += 4;
        from += 4;
    }
    for (; count > 0; --count) {
        *to++ = *from++;
    }
}

static void fill_run(int8_t *to, int8_t value, int32_t count) {
    memset(to, value, (size_t)count);
}

#endif

/* `count` neighbouring pixels of one row, from column `left`; `row` is NULL above and below. */
static void gather_run(const int8_t *row, int32_t width, int32_t channels, int32_t left,
                       int32_t count, int8_t border, int8_t *run) {
    const int32_t first = row == NULL ? count : fg_clamp(-left, 0, count);
    const int32_t end = row == NULL ? count : fg_clamp(width - left, first, count);
    if (first > 0) {
        fill_run(run, border, first * channels);
    }
    if (end > first) {
        copy_run(run + first * channels, row + (left + first) * channels, (end - first) * channels);
    }
    if (count > end) {
        fill_run(run + end * channels, border, (count - end) * channels);
    }
}

void fg_gather_patch(const fg_window *window, int32_t channels, int32_t top, int32_t left,
                     int8_t fill, const int8_t *input, int8_t *patch) {
    const int32_t run = window->dilation_w == 1 ? window->kernel_w : 1;
    if (window->dilation_w == 1 && fg_window_inside(window, top, left)) {
        const int8_t *row = input + (top * window->in_w + left) * channels;
        for (int32_t ky = window->kernel_h; ky > 0; --ky) {
            copy_run(patch, row, run * channels);
            row += window->dilation_h * window->in_w * channels;
            patch += run * channels;
        }
        return;
    }
    for (int32_t ky = 0; ky < window->kernel_h; ++ky) {
        const int32_t y = top + ky * window->dilation_h;
        const bool inside = y >= 0 && y < window->in_h;
        const int8_t *row = inside ? input + y * window->in_w * channels : NULL;
        for (int32_t kx = 0; kx < window->kernel_w; kx += run) {
            const int32_t x = left + kx * window->dilation_w;
            gather_run(row, window->in_w, channels, x, run, fill, patch);
            patch += run * channels;
        }
    }
}
