/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "../fg_patch.h"
#include "../fg_requantize.h"
#include "../fg_target.h"
#include "fg_depthwise_dsp.h"
#include "fg_scale_dsp.h"

#if FG_DSP && !FG_MVE

/* The image is computed in strips of LANES channels: their filters are spread to int16 once, and
 * the rows that a window reaches lie in a band, four channels to a word, with the border filled in.
 * The band is a ring of kernel_h rows. So that the sums can run through it from its first row,
 * wherever the window begins, the spread filter is stored twice in a row. */

#define LANES 4

/* What the pixels of a strip share. */
typedef struct strip {
    const fg_depthwise_conv2d_params *params;
    uint32_t bias[LANES];
    fg_factor factor[LANES]; /* where the scale is quick */
    int32_t channel, count;  /* the first one; LANES or, at the end, fewer */
    uint32_t *filter;        /* rows of filter_pitch words */
    uint32_t *band;          /* rows of band_pitch words */
    int32_t filter_pitch, band_pitch;
} strip;

static int32_t words_of_filter_row(int32_t kernel_w) {
    return 2 * kernel_w; /* two words per tap, whether it has a neighbour or not */
}

static uint32_t load_lanes(const int8_t *bytes, int32_t count) {
    return count == LANES ? fg_load_quad(bytes) : fg_load_some(bytes, count);
}

/* Of two neighbouring taps, pairs of one channel's: channels 0, 1, 2, 3. Of a last tap without
 * neighbour, channels (0, 2) and (1, 3). */
static FG_NOINLINE uint32_t *spread_filter_row(const strip *of, const int8_t *weights,
                                               uint32_t *words) {
    const int32_t channels = of->params->in_channels;
    int32_t taps = of->params->window.kernel_w;
    for (; taps >= 2; taps -= 2) {
        const uint32_t left = load_lanes(weights, of->count);
        const uint32_t right = load_lanes(weights + channels, of->count);
        const uint32_t lower = fg_lower_halves(left, right);
        const uint32_t upper = fg_upper_halves(left, right);
        *words++ = fg_even_bytes(lower);
        *words++ = fg_odd_bytes(lower);
        *words++ = fg_even_bytes(upper);
        *words++ = fg_odd_bytes(upper);
        weights += 2 * channels;
    }
    if (taps != 0) {
        const uint32_t last = load_lanes(weights, of->count);
        *words++ = fg_even_bytes(last);
        *words++ = fg_odd_bytes(last);
    }
    return words;
}

static FG_NOINLINE void begin_strip(strip *of, const int8_t *weights, const int32_t *bias) {
    const fg_window *window = &of->params->window;
    const fg_channel_scale *scale = &of->params->scale;
    for (int32_t lane = 0; lane < LANES; ++lane) {
        const int32_t channel = of->channel + fg_min(lane, of->count - 1);
        of->bias[lane] = (uint32_t)bias[channel];
        if (scale->quick) {
            of->factor[lane] = fg_factor_of(scale->value[channel], scale->shift[channel]);
        }
    }
    uint32_t *words = of->filter;
    const int8_t *row = weights + of->channel;
    for (int32_t ky = 0; ky < window->kernel_h; ++ky) {
        words = spread_filter_row(of, row, words);
        row += window->kernel_w * of->params->in_channels;
    }
    const uint32_t *const end = words;
    for (const uint32_t *copied = of->filter; copied != end; copied += 2) {
        *words++ = copied[0];
        *words++ = copied[1];
    }
}

/* Fills a row of the band from a row of the input; NULL above and below. */
static void fill_band_row(const strip *of, const int8_t *row, uint32_t *words) {
    const fg_depthwise_conv2d_params *params = of->params;
    const uint32_t border = (uint8_t)params->input_zero * 0x01010101U;
    const int32_t before = row == NULL ? of->band_pitch : params->window.pad_left;
    const int32_t inside = fg_clamp(of->band_pitch - before, 0, params->window.in_w);
    const uint32_t *const end = words + of->band_pitch;
    const uint32_t *const first = words + before;
    while (words != first) {
        *words++ = border;
    }
    const uint32_t *const last = words + inside;
    if (of->count == LANES) {
        if ((inside & 1) != 0) {
            *words++ = fg_load_quad(row);
            row += params->in_channels;
        }
        while (words != last) {
            words[0] = fg_load_quad(row);
            words[1] = fg_load_quad(row + params->in_channels);
            row += 2 * params->in_channels;
            words += 2;
        }
    } else {
        while (words != last) {
            *words++ = fg_load_some(row, of->count);
            row += params->in_channels;
        }
    }
    while (words != end) {
        *words++ = border;
    }
}

/* Brings the rows that the window at `top` sees into the band, the topmost at slot `begin`; the
 * first `known` of them are there already. */
static FG_NOINLINE void fill_band(const strip *of, const int8_t *input, int32_t top, int32_t begin,
                                  int32_t known) {
    const fg_window *window = &of->params->window;
    for (int32_t ky = known; ky < window->kernel_h; ++ky) {
        const int32_t y = top + ky * window->dilation_h;
        const int32_t slot =
            begin + ky < window->kernel_h ? begin + ky : begin + ky - window->kernel_h;
        const bool inside = y >= 0 && y < window->in_h;
        const int8_t *row =
            inside ? input + y * window->in_w * of->params->in_channels + of->channel : NULL;
        fill_band_row(of, row, of->band + slot * of->band_pitch);
    }
}

/* Sums of the lanes. */
typedef struct lanes {
    uint32_t sum0, sum1, sum2, sum3;
} lanes;

static FG_INLINE lanes first_sums(const strip *of) {
    const lanes sums = {of->bias[0], of->bias[1], of->bias[2], of->bias[3]};
    return sums;
}

/* Whether outputs are what write_usual() writes. */
static bool is_usual(const strip *of) {
    return of->params->scale.quick && of->count == LANES;
}

static FG_INLINE void write_usual(const strip *of, const lanes *sums, const fg_limits *limits,
                                  bool whole, int8_t *output) {
    const fg_factor *factor = of->factor;
    output[0] = fg_output_of(sums->sum0, factor[0], limits, whole);
    output[1] = fg_output_of(sums->sum1, factor[1], limits, whole);
    output[2] = fg_output_of(sums->sum2, factor[2], limits, whole);
    output[3] = fg_output_of(sums->sum3, factor[3], limits, whole);
}

static FG_NOINLINE void write_any(const strip *of, lanes sums, int8_t *output) {
    const fg_channel_scale *scale = &of->params->scale;
    const uint32_t all[LANES] = {sums.sum0, sums.sum1, sums.sum2, sums.sum3};
    fg_requantize(scale, &of->params->output, of->channel, of->count, all, output);
}

/* Adds one row of a window. */
static FG_INLINE lanes add_row(lanes sums, const uint32_t *taps, const uint32_t *factors,
                               int32_t kernel_w, int32_t dilation) {
    for (int32_t kx = kernel_w / 2; kx > 0; --kx) {
        const uint32_t left = taps[0];
        const uint32_t right = taps[dilation];
        const uint32_t lower = fg_lower_halves(left, right);
        const uint32_t upper = fg_upper_halves(left, right);
        const uint32_t factor0 = factors[0];
        const uint32_t factor1 = factors[1];
        sums.sum0 = fg_dot_pair(fg_even_bytes(lower), factor0, sums.sum0);
        sums.sum1 = fg_dot_pair(fg_odd_bytes(lower), factor1, sums.sum1);
        const uint32_t factor2 = factors[2];
        const uint32_t factor3 = factors[3];
        sums.sum2 = fg_dot_pair(fg_even_bytes(upper), factor2, sums.sum2);
        sums.sum3 = fg_dot_pair(fg_odd_bytes(upper), factor3, sums.sum3);
        taps += 2 * dilation;
        factors += 4;
    }
    if (kernel_w % 2 != 0) {
        const uint32_t even = fg_even_bytes(taps[0]);
        const uint32_t odd = fg_odd_bytes(taps[0]);
        const uint32_t factor02 = factors[0];
        const uint32_t factor13 = factors[1];
        sums.sum0 = fg_dot_lower(even, factor02, sums.sum0);
        sums.sum1 = fg_dot_lower(odd, factor13, sums.sum1);
        sums.sum2 = fg_dot_upper(even, factor02, sums.sum2);
        sums.sum3 = fg_dot_upper(odd, factor13, sums.sum3);
    }
    return sums;
}

/* One row of outputs; `filter` begins with the row that belongs to the band's first slot. Usual
 * outputs, of the whole range, of windows of 3 x 3 without gaps. */
static FG_NOINLINE void convolve_3_by_3(const strip *of, const uint32_t *filter, int8_t *output) {
    const int32_t stride = of->params->window.stride_w;
    const int32_t channels = of->params->in_channels;
    const int32_t pitch = of->band_pitch;
    const fg_limits limits = fg_limits_of(&of->params->output);
    const uint32_t *taps = of->band;
    const uint32_t *const end = taps + of->params->window.out_w * stride;
    while (taps != end) {
        lanes sums = first_sums(of);
        sums = add_row(sums, taps, filter, 3, 1);
        sums = add_row(sums, taps + pitch, filter + 6, 3, 1);
        sums = add_row(sums, taps + 2 * pitch, filter + 12, 3, 1);
        write_usual(of, &sums, &limits, true, output);
        taps += stride;
        output += channels;
    }
}

#if FG_DSP_LOOPS

/* A row of a window without gaps, two taps at a time. */
#define PAIRS_OF_TAPS                                                                              \
    "1:\n\t"                                                                                       \
    "ldr    lr, %[pairs]\n"                                                                        \
    "2:\n\t"                                                                                       \
    "ldrd   r2, r3, [%[taps]], #8\n\t"                                                             \
    "pkhbt  r4, r2, r3, lsl #16\n\t"                                                               \
    "pkhtb  r5, r3, r2, asr #16\n\t"                                                               \
    "ldrd   r2, r3, [%[factors]], #8\n\t"                                                          \
    "sxtb16 r12, r4\n\t"                                                                           \
    "smlad  r8, r12, r2, r8\n\t"                                                                   \
    "sxtb16 r12, r4, ror #8\n\t"                                                                   \
    "smlad  r9, r12, r3, r9\n\t"                                                                   \
    "ldrd   r2, r3, [%[factors]], #8\n\t"                                                          \
    "sxtb16 r12, r5\n\t"                                                                           \
    "smlad  r10, r12, r2, r10\n\t"                                                                 \
    "sxtb16 r12, r5, ror #8\n\t"                                                                   \
    "smlad  r11, r12, r3, r11\n\t"                                                                 \
    "subs   lr, lr, #1\n\t"                                                                        \
    "bne    2b\n\t"

/* The tap that an odd number of them ends with. */
#define LAST_TAP                                                                                   \
    "ldr    r4, [%[taps]], #4\n\t"                                                                 \
    "ldrd   r2, r3, [%[factors]], #8\n\t"                                                          \
    "sxtb16 r12, r4\n\t"                                                                           \
    "smlabb r8, r12, r2, r8\n\t"                                                                   \
    "smlatt r10, r12, r2, r10\n\t"                                                                 \
    "sxtb16 r12, r4, ror #8\n\t"                                                                   \
    "smlabb r9, r12, r3, r9\n\t"                                                                   \
    "smlatt r11, r12, r3, r11\n\t"

#define NEXT_ROW                                                                                   \
    "ldr    r2, %[rest]\n\t"                                                                       \
    "add    %[taps], %[taps], r2, lsl #2\n\t"                                                      \
    "subs   %[rows], %[rows], #1\n\t"                                                              \
    "bne    1b\n\t"

#define WINDOW_IN_ASSEMBLY(row)                                                                    \
    __asm__ volatile("ldr    r2, %[bias]\n\t"                                                      \
                     "ldmia  r2, {r8, r9, r10, r11}\n" row NEXT_ROW                                \
                     : [taps] "+r"(taps), [factors] "+r"(factors), [rows] "+r"(rows), "=r"(r8),    \
                       "=r"(r9), "=r"(r10), "=r"(r11)                                              \
                     : [bias] "m"(bias), [pairs] "m"(pairs), [rest] "m"(rest)                      \
                     : "r2", "r3", "r4", "r5", "r12", "lr", "cc", "memory")

#endif

/* Sums of a window. */
static FG_INLINE lanes add_window(const strip *of, const uint32_t *taps, const uint32_t *factors) {
    const fg_window *window = &of->params->window;
    const int32_t kernel_w = window->kernel_w;
    int32_t rows = window->kernel_h;
#if FG_DSP_LOOPS
    if (window->dilation_w == 1 && kernel_w >= 2) {
        register uint32_t r8 __asm__("r8");
        register uint32_t r9 __asm__("r9");
        register uint32_t r10 __asm__("r10");
        register uint32_t r11 __asm__("r11");
        const uint32_t *const bias = of->bias;
        const int32_t pairs = kernel_w / 2;
        const int32_t rest = of->band_pitch - kernel_w;
        if ((kernel_w & 1) != 0) {
            WINDOW_IN_ASSEMBLY(PAIRS_OF_TAPS LAST_TAP);
        } else {
            WINDOW_IN_ASSEMBLY(PAIRS_OF_TAPS);
        }
        const lanes done = {r8, r9, r10, r11};
        return done;
    }
#endif
    lanes sums = first_sums(of);
    for (; rows > 0; --rows) {
        sums = add_row(sums, taps, factors, kernel_w, window->dilation_w);
        taps += of->band_pitch;
        factors += of->filter_pitch;
    }
    return sums;
}

/* Any windows and outputs. */
static FG_NOINLINE void convolve_row(const strip *of, const uint32_t *filter, int8_t *output) {
    const fg_window *window = &of->params->window;
    const fg_limits limits = fg_limits_of(&of->params->output);
    const bool usual = is_usual(of);
    const uint32_t *from = of->band;
    const uint32_t *const end = from + window->out_w * window->stride_w;
    while (from != end) {
        const lanes sums = add_window(of, from, filter);
        if (usual && limits.whole) {
            write_usual(of, &sums, &limits, true, output);
        } else if (usual) {
            write_usual(of, &sums, &limits, false, output);
        } else {
            write_any(of, sums, output);
        }
        from += window->stride_w;
        output += of->params->in_channels;
    }
}

static FG_NOINLINE void convolve_strip(const strip *of, const int8_t *input, int8_t *output) {
    const fg_window *window = &of->params->window;
    const int32_t kernel_h = window->kernel_h;
    const int32_t kept = window->dilation_h == 1 ? kernel_h - window->stride_h : 0;
    const bool three = kernel_h == 3 && window->kernel_w == 3 && window->dilation_w == 1 &&
                       is_usual(of) && fg_limits_of(&of->params->output).whole;
    int32_t begin = 0; /* slot of the window's first row */
    for (int32_t row = 0; row < window->out_h; ++row) {
        fill_band(of, input, fg_window_top(window, row), begin, row == 0 || kept < 0 ? 0 : kept);
        const uint32_t *filter = of->filter + (kernel_h - begin) % kernel_h * of->filter_pitch;
        if (three) {
            convolve_3_by_3(of, filter, output);
        } else {
            convolve_row(of, filter, output);
        }
        output += window->out_w * of->params->in_channels;
        begin = (begin + window->stride_h) % kernel_h;
    }
}

void fg_depthwise_strips(const fg_depthwise_conv2d_params *params, const int8_t *weights,
                         const int32_t *bias, const int8_t *input, int8_t *scratch,
                         int8_t *output) {
    const fg_window *window = &params->window;
    strip of;
    of.params = params;
    of.filter_pitch = words_of_filter_row(window->kernel_w);
    of.band_pitch =
        (window->out_w - 1) * window->stride_w + (window->kernel_w - 1) * window->dilation_w + 1;
    of.filter = (uint32_t *)(void *)scratch;
    of.band = of.filter + 2 * window->kernel_h * of.filter_pitch;
    for (of.channel = 0; of.channel < params->in_channels; of.channel += LANES) {
        of.count = fg_min(params->in_channels - of.channel, LANES);
        begin_strip(&of, weights, bias);
        convolve_strip(&of, input, output + of.channel);
    }
}

#endif
