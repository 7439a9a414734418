/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_fixed_point.h"
#include "fg_patch.h"

/* The part of a window that lies inside the input. */
typedef struct part {
    int32_t top, left, height, width;
} part;

static part visible(const fg_window *window, int32_t row, int32_t column) {
    const int32_t top = fg_window_top(window, row);
    const int32_t left = fg_window_left(window, column);
    const int32_t first_row = fg_clamp(top, 0, window->in_h);
    const int32_t first_column = fg_clamp(left, 0, window->in_w);
    const part inside = {first_row, first_column,
                         fg_clamp(top + window->kernel_h, 0, window->in_h) - first_row,
                         fg_clamp(left + window->kernel_w, 0, window->in_w) - first_column};
    return inside;
}

/* Sum and maximum of one channel over a part of the input; `first` is its first value. */
static int32_t sum_of(const int8_t *first, const part *inside, int32_t row_step, int32_t step) {
    int32_t sum = 0;
    for (int32_t y = inside->height; y > 0; --y) {
        const int8_t *value = first;
        for (int32_t x = inside->width; x > 0; --x) {
            sum += *value;
            value += step;
        }
        first += row_step;
    }
    return sum;
}

static int32_t max_of(const int8_t *first, const part *inside, int32_t row_step, int32_t step) {
    int32_t most = INT8_MIN;
    for (int32_t y = inside->height; y > 0; --y) {
        const int8_t *value = first;
        for (int32_t x = inside->width; x > 0; --x) {
            most = *value > most ? *value : most;
            value += step;
        }
        first += row_step;
    }
    return most;
}

static int32_t mean_of(int32_t sum, int32_t count) {
    return (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
}

static void pool(const fg_pool2d_params *params, bool average, const int8_t *input,
                 int8_t *output) {
    const fg_window *window = &params->window;
    const int32_t channels = params->channels;
    const int32_t row_step = window->in_w * channels;
    for (int32_t row = 0; row < window->out_h; ++row) {
        for (int32_t column = 0; column < window->out_w; ++column) {
            const part inside = visible(window, row, column);
            const int8_t *first = input + inside.top * row_step + inside.left * channels;
            for (int32_t channel = 0; channel < channels; ++channel, ++first) {
                const int32_t value = average ? mean_of(sum_of(first, &inside, row_step, channels),
                                                        inside.height * inside.width)
                                              : max_of(first, &inside, row_step, channels);
                *output++ = (int8_t)fg_clamp(value, params->low, params->high);
            }
        }
    }
}

void fg_average_pool2d(const fg_pool2d_params *params, const int8_t *input, int8_t *output) {
    pool(params, true, input, output);
}

void fg_max_pool2d(const fg_pool2d_params *params, const int8_t *input, int8_t *output) {
    pool(params, false, input, output);
}
