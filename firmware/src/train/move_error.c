/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "../kernels/fg_target.h"
#include "error.h"
#include "routes.h"
#include "window.h"

/* Elements that are worth a call. */
#define LONG_RUN 8

#if !FG_MVE

void fg_copy_open(const int8_t *errors, uint32_t count, const fg_mask *mask, uint32_t index,
                  int8_t *made) {
    for (uint32_t i = 0; i < count; i++) {
        made[index + i] = fg_mask_open(mask, index + i) ? errors[i] : (int8_t)0;
    }
}

#endif

static uint32_t input_count(const fg_pool2d_params *params) {
    const fg_window *const window = &params->window;
    return (uint32_t)(window->in_h * window->in_w * params->channels);
}

void fg_max_pool2d_route(const fg_pool2d_params *params, const int8_t *input, uint8_t *routes) {
    const fg_window *const window = &params->window;
    const uint32_t shift = fg_routes_shift(window);
    uint32_t index = 0;
    for (int32_t row = 0; row < window->out_h; row++) {
        for (int32_t column = 0; column < window->out_w; column++) {
            for (int32_t channel = 0; channel < params->channels; channel++) {
                int32_t best = INT8_MIN - 1;
                int32_t route = 0;
                for (int32_t ky = 0; ky < window->kernel_h; ky++) {
                    const int32_t y = fg_tap_row(window, row, ky);
                    for (int32_t kx = 0; y >= 0 && kx < window->kernel_w; kx++) {
                        const int32_t x = fg_tap_column(window, column, kx);
                        if (x < 0) {
                            continue;
                        }
                        const int32_t at = (y * window->in_w + x) * params->channels + channel;
                        if (input[at] > best) {
                            best = input[at];
                            route = ky * window->kernel_w + kx;
                        }
                    }
                }
                fg_route_put(routes, index++, shift, route);
            }
        }
    }
}

void fg_max_pool2d_error(const fg_pool2d_params *params, const uint8_t *routes,
                         const fg_error *from, const int8_t *errors, const fg_mask *mask,
                         fg_error *to, int8_t *made) {
    const fg_window *const window = &params->window;
    const int32_t channels = params->channels;
    const uint32_t shift = fg_routes_shift(window);
    uint32_t index = 0;
    memset(made, 0, input_count(params));
    for (int32_t row = 0; row < window->out_h; row++) {
        for (int32_t column = 0; column < window->out_w; column++) {
            for (int32_t channel = 0; channel < channels; channel++) {
                const int32_t tap = fg_route_get(routes, index, shift);
                const int32_t y = fg_tap_row(window, row, tap / window->kernel_w);
                const int32_t x = fg_tap_column(window, column, tap % window->kernel_w);
                const int32_t at = (y * window->in_w + x) * channels + channel;
                if (fg_mask_open(mask, (uint32_t)at)) {
                    made[at] = errors[index];
                }
                index++;
            }
        }
    }
    fg_error_moved(to, from, made, input_count(params));
}

/* The last window that begins at or before a position. */
static int32_t last_window(int32_t position, int32_t stride, int32_t windows) {
    const int32_t window = position / stride;
    return (window < windows) ? window : windows - 1;
}

void fg_spread_error(const fg_pool2d_params *params, const fg_error *from, const int8_t *errors,
                     const fg_mask *mask, fg_error *to, int8_t *made) {
    const fg_window *const window = &params->window;
    const int32_t channels = params->channels;
    uint32_t index = 0;
    for (int32_t y = 0; y < window->in_h; y++) {
        const int32_t row = last_window(y, window->stride_h, window->out_h);
        const bool in_row = y - row * window->stride_h < window->kernel_h;
        for (int32_t x = 0; x < window->in_w; x++) {
            const int32_t column = last_window(x, window->stride_w, window->out_w);
            const bool covered = in_row && x - column * window->stride_w < window->kernel_w;
            const int8_t *error = errors + (row * window->out_w + column) * channels;
            if (covered && channels >= LONG_RUN) {
                fg_copy_open(error, (uint32_t)channels, mask, index, made);
                index += (uint32_t)channels;
                continue;
            }
            for (int32_t channel = 0; channel < channels; channel++) {
                const bool open = covered && fg_mask_open(mask, index);
                made[index++] = open ? error[channel] : (int8_t)0;
            }
        }
    }
    fg_error_moved(to, from, made, index);
}

void fg_crop_error(const fg_pad_params *params, const fg_error *from, const int8_t *errors,
                   const fg_mask *mask, fg_error *to, int8_t *made) {
    const int32_t *const before = params->before;
    const int32_t *const padded = params->output;
    uint32_t index = 0;
    for (int32_t i = 0; i < params->input[0]; i++) {
        for (int32_t j = 0; j < params->input[1]; j++) {
            const int32_t row = (before[0] + i) * padded[1] + before[1] + j;
            const int8_t *error = errors + row * padded[2] + before[2];
            fg_copy_open(error, (uint32_t)params->input[2], mask, index, made);
            index += (uint32_t)params->input[2];
        }
    }
    fg_error_moved(to, from, made, index);
}

void fg_transpose_error(const fg_transpose_params *params, const fg_error *from,
                        const int8_t *errors, fg_error *to, int8_t *made) {
    const int32_t *const size = params->size;
    const int32_t *const step = params->step;
    const int8_t *error = errors;
    for (int32_t i = 0; i < size[0]; i++) {
        for (int32_t j = 0; j < size[1]; j++) {
            for (int32_t k = 0; k < size[2]; k++) {
                int8_t *target = made + i * step[0] + j * step[1] + k * step[2];
                for (int32_t l = 0; l < size[3]; l++) {
                    *target = *error++;
                    target += step[3];
                }
            }
        }
    }
    fg_error_moved(to, from, made, (uint32_t)(error - errors));
}

void fg_copy_error(uint32_t count, const fg_error *from, const int8_t *errors, const fg_mask *mask,
                   fg_error *to, int8_t *made) {
    fg_copy_open(errors, count, mask, 0U, made);
    fg_error_moved(to, from, made, count);
}
