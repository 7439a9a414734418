/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "passes.h"
#include "routes.h"
#include "window.h"

/* Elements of a window along one dimension that lie within the input. */
static int32_t inside(int32_t position, int32_t stride, int32_t before, int32_t window,
                      int32_t size) {
    const int32_t first = position * stride - before;
    const int32_t end = first + window;
    return ((end < size) ? end : size) - ((first > 0) ? first : 0);
}

/* How a mean shares its errors out. */
typedef struct shares {
    const int16_t *ratio; /* by the number of elements, less 1 */
    int32_t shift;
} shares;

static void add_share(const fg_pool2d_params *params, const shares *share, const int8_t *errors,
                      int32_t row, int32_t column, int32_t *sums) {
    const fg_window *const window = &params->window;
    const int32_t high =
        inside(row, window->stride_h, window->pad_top, window->kernel_h, window->in_h);
    const int32_t wide =
        inside(column, window->stride_w, window->pad_left, window->kernel_w, window->in_w);
    /* cppcheck-suppress ctunullpointer ; no routes: there is a share */
    const int32_t ratio = share->ratio[high * wide - 1];
    const int32_t half = (int32_t)(UINT32_C(1) << ((uint32_t)share->shift - 1U));
    const int8_t *error = errors + (row * window->out_w + column) * params->channels;
    for (int32_t channel = 0; channel < params->channels; channel++) {
        sums[channel] += (error[channel] * ratio + half) >> share->shift;
    }
}

static void add_maxima(const fg_pool2d_params *params, const uint8_t *routes, const int8_t *errors,
                       int32_t pixel, int32_t tap, int32_t *sums) {
    const int32_t first = pixel * params->channels;
    const uint32_t shift = fg_routes_shift(&params->window);
    for (int32_t channel = 0; channel < params->channels; channel++) {
        if (fg_route_get(routes, (uint32_t)(first + channel), shift) == tap) {
            sums[channel] += errors[first + channel];
        }
    }
}

/* Either `routes` or `share` tells what a window sends back. */
static void walk(const fg_pool2d_params *params, const uint8_t *routes, const shares *share,
                 const int8_t *errors, int32_t *sums, fg_passes *passes) {
    const fg_window *const window = &params->window;
    const uint32_t channels = (uint32_t)params->channels;
    for (int32_t y = 0; y < window->in_h; y++) {
        for (int32_t x = 0; x < window->in_w; x++) {
            memset(sums, 0, channels * sizeof *sums);
            for (int32_t ky = 0; ky < window->kernel_h; ky++) {
                const int32_t row = fg_reader_row(window, y, ky);
                for (int32_t kx = 0; row >= 0 && kx < window->kernel_w; kx++) {
                    const int32_t column = fg_reader_column(window, x, kx);
                    if (column >= 0 && routes != NULL) {
                        add_maxima(params, routes, errors, row * window->out_w + column,
                                   ky * window->kernel_w + kx, sums);
                    } else if (column >= 0) {
                        add_share(params, share, errors, row, column, sums);
                    }
                }
            }
            fg_passes_store(passes, sums, channels);
        }
    }
}

static uint32_t input_count(const fg_pool2d_params *params) {
    return (uint32_t)(params->window.in_h * params->window.in_w * params->channels);
}

void fg_max_pool2d_sum_error(const fg_pool2d_params *params, const uint8_t *routes,
                             const fg_error *from, const int8_t *errors, int32_t *sums,
                             fg_error *to, int8_t *made) {
    fg_passes passes = fg_passes_of(from, to, NULL, made, input_count(params), 0);
    while (fg_passes_next(&passes)) {
        walk(params, routes, NULL, errors, sums, &passes);
    }
}

void fg_average_pool2d_error(const fg_pool2d_params *params, const int16_t *ratio, int32_t shift,
                             int32_t exponent, const fg_error *from, const int8_t *errors,
                             const fg_mask *mask, int32_t *sums, fg_error *to, int8_t *made) {
    const shares share = {ratio, shift};
    fg_passes passes = fg_passes_of(from, to, mask, made, input_count(params), exponent);
    while (fg_passes_next(&passes)) {
        walk(params, NULL, &share, errors, sums, &passes);
    }
}
