/* SPDX-License-Identifier: Apache-2.0 */
#include "../fg_dot.h"
#include "../fg_patch.h"
#include "../fg_requantize.h"
#include "../fg_target.h"
#include "fg_scale_mve.h"

#if FG_MVE

/* Four pixels at a time, a lane for each: one channel's weights meet all four patches. The last
 * pixels of an image may be fewer than four; their lanes then repeat the last one. */

#define PIXELS FG_WORD_LANES

/* What the pixels of a layer share. */
typedef struct layer {
    const fg_conv2d_params *params;
    const int8_t *weights;
    const int32_t *bias;
    int32_t taps;
    fg_finish finish;
} layer;

/* Four patches, and where the outputs of their first channel belong. */
typedef struct group {
    const int8_t *patch[PIXELS];
    int8_t *output;
    fg_words distances;
} group;

/* How many vectors a patch takes. */
typedef enum span { SPAN_ONE, SPAN_TWO, SPAN_ANY } span;

static FG_INLINE void convolve(const layer *of, const group *pixels, span taken, fg_finish finish) {
    const fg_conv2d_params *params = of->params;
    const fg_word_limits limits = fg_word_limits_of(&params->output);
    const fg_words distances = pixels->distances;
    const int32_t taps = of->taps;
    const int32_t last = taps - FG_BYTE_LANES;
    const int32_t *bias = of->bias;
    const int32_t *value = params->scale.value;
    const int8_t *shift = params->scale.shift;
    const int8_t *weights = of->weights;
    const int8_t *const patch[PIXELS] = {pixels->patch[0], pixels->patch[1], pixels->patch[2],
                                         pixels->patch[3]};
    int8_t *output = pixels->output;
    fg_bytes seen[PIXELS];
    if (taken == SPAN_ONE) {
        seen[0] = fg_load_first(patch[0], taps);
        seen[1] = fg_load_first(patch[1], taps);
        seen[2] = fg_load_first(patch[2], taps);
        seen[3] = fg_load_first(patch[3], taps);
    }
    for (int32_t channel = params->out_channels; channel > 0; --channel) {
        fg_words sums;
        if (taken == SPAN_ONE) {
            const fg_bytes factors = fg_load_first(weights, taps);
            sums = fg_dot_four(seen[0], seen[1], seen[2], seen[3], factors);
        } else if (taken == SPAN_TWO) {
            const fg_bytes first = fg_load_bytes(weights);
            const fg_bytes second = fg_load_after(weights + last, FG_BYTE_LANES - last);
            sums = fg_dot_four_pairs(patch, last, first, second);
        } else {
            sums = fg_dot_four_long(patch, weights, taps);
        }
        weights += taps;
        sums = fg_add_word(sums, *bias++);
        sums = fg_scale_by_one(sums, *value++, *shift++, finish);
        fg_scatter_as_bytes(output++, distances, fg_clamp_words(sums, &limits));
    }
}

static FG_NOINLINE void convolve_one_positive(const layer *of, const group *pixels) {
    convolve(of, pixels, SPAN_ONE, FG_FINISH_POSITIVE);
}

static FG_NOINLINE void convolve_one(const layer *of, const group *pixels) {
    convolve(of, pixels, SPAN_ONE, FG_FINISH_QUICK);
}

static FG_NOINLINE void convolve_two_positive(const layer *of, const group *pixels) {
    convolve(of, pixels, SPAN_TWO, FG_FINISH_POSITIVE);
}

static FG_NOINLINE void convolve_two(const layer *of, const group *pixels) {
    convolve(of, pixels, SPAN_TWO, FG_FINISH_QUICK);
}

static FG_NOINLINE void convolve_long_positive(const layer *of, const group *pixels) {
    convolve(of, pixels, SPAN_ANY, FG_FINISH_POSITIVE);
}

static FG_NOINLINE void convolve_long(const layer *of, const group *pixels) {
    convolve(of, pixels, SPAN_ANY, FG_FINISH_QUICK);
}

static FG_NOINLINE void convolve_any(const layer *of, const group *pixels) {
    convolve(of, pixels, SPAN_ANY, FG_FINISH_ANY);
}

static void convolve_group(const layer *of, const group *pixels) {
    const bool positive = of->finish == FG_FINISH_POSITIVE;
    if (of->finish == FG_FINISH_ANY) {
        convolve_any(of, pixels);
    } else if (of->taps <= FG_BYTE_LANES && positive) {
        convolve_one_positive(of, pixels);
    } else if (of->taps <= FG_BYTE_LANES) {
        convolve_one(of, pixels);
    } else if (of->taps <= 2 * FG_BYTE_LANES && positive) {
        convolve_two_positive(of, pixels);
    } else if (of->taps <= 2 * FG_BYTE_LANES) {
        convolve_two(of, pixels);
    } else if (positive) {
        convolve_long_positive(of, pixels);
    } else {
        convolve_long(of, pixels);
    }
}

/* A lane for each channel: all of one pixel. */
static FG_NOINLINE void convolve_pixel(const layer *of, const int8_t *patch, int8_t *output) {
    const fg_conv2d_params *params = of->params;
    for (int32_t channel = 0; channel < params->out_channels; channel += FG_DOT_ROWS) {
        const int32_t count = fg_min(params->out_channels - channel, FG_DOT_ROWS);
        uint32_t sums[FG_DOT_ROWS];
        fg_dot_rows(patch, of->weights + channel * of->taps, of->taps, of->bias + channel, count,
                    sums);
        fg_requantize(&params->scale, &params->output, channel, count, sums, output + channel);
    }
}

static void finish_image(const layer *of, group *pixels, int32_t waiting) {
    if (waiting == 1) {
        convolve_pixel(of, pixels->patch[0], pixels->output);
    } else if (waiting != 0) {
        const int32_t channels = of->params->out_channels;
        for (int32_t lane = waiting; lane < PIXELS; ++lane) {
            pixels->patch[lane] = pixels->patch[waiting - 1];
        }
        pixels->distances = fg_min_words(pixels->distances, fg_all_words((waiting - 1) * channels));
        convolve_group(of, pixels);
    }
}

void fg_conv2d(const fg_conv2d_params *params, const int8_t *weights, const int32_t *bias,
               const int8_t *input, int8_t *scratch, int8_t *output) {
    const fg_window *window = &params->window;
    const int32_t channels = params->in_channels;
    const int32_t taps = window->kernel_h * window->kernel_w * channels;
    const layer of = {params, weights, bias, taps,
                      fg_finish_of(&params->scale, &params->output, params->out_channels)};
    const bool direct = fg_window_contiguous(window);
    group pixels;
    pixels.output = output;
    pixels.distances = fg_word_steps(params->out_channels);
    int32_t waiting = 0;
    for (int32_t row = 0; row < window->out_h; ++row) {
        const int32_t top = fg_window_top(window, row);
        for (int32_t column = 0; column < window->out_w; ++column) {
            const int32_t left = fg_window_left(window, column);
            if (direct) {
                pixels.patch[waiting] = input + (top * window->in_w + left) * channels;
            } else {
                int8_t *patch = scratch + waiting * taps;
                fg_gather_patch(window, channels, top, left, params->input_zero, input, patch);
                pixels.patch[waiting] = patch;
            }
            if (++waiting == PIXELS) {
                convolve_group(&of, &pixels);
                pixels.output += PIXELS * params->out_channels;
                waiting = 0;
            }
        }
    }
    finish_image(&of, &pixels, waiting);
}

#endif
