/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_SUMS_MVE_EMULATED_H
#define FG_SUMS_MVE_EMULATED_H

/* The blocks of fg_sums_mve.h in plain C, for tests on other machines. Included by it. */

static inline int32_t fg_dot_one(const int8_t *x, const int8_t *y, int32_t count) {
    return fg_dot_bytes(x, y, count);
}

static inline void fg_dot_six(const fg_bytes x[FG_SIX_PIXELS], const int8_t *y, int32_t count,
                              int32_t channels, int32_t *sums) {
    for (; channels > 0; --channels) {
        for (int32_t pixel = 0; pixel < FG_SIX_PIXELS; ++pixel) {
            sums[pixel] = fg_dot_bytes(x[pixel].at, y, count);
        }
        y += count;
        sums += FG_SUMS_PIXELS;
    }
}

static inline void fg_dot_three(const fg_bytes x[2 * FG_THREE_PIXELS], const int8_t *y,
                                int32_t count, int32_t channels, int32_t *sums) {
    for (; channels > 0; --channels) {
        for (int32_t pixel = 0; pixel < FG_THREE_PIXELS; ++pixel) {
            sums[pixel] = fg_dot_bytes(x[pixel].at, y, FG_BYTE_LANES) +
                          fg_dot_bytes(x[FG_THREE_PIXELS + pixel].at, y + FG_BYTE_LANES,
                                       count - FG_BYTE_LANES);
        }
        y += count;
        sums += FG_SUMS_PIXELS;
    }
}

static inline void fg_dot_long(const int8_t *const x[FG_THREE_PIXELS], const int8_t *y,
                               int32_t count, int32_t channels, int32_t *sums) {
    for (; channels > 0; --channels) {
        for (int32_t pixel = 0; pixel < FG_THREE_PIXELS; ++pixel) {
            sums[pixel] = fg_dot_bytes(x[pixel], y, count);
        }
        y += count;
        sums += FG_SUMS_PIXELS;
    }
}

static inline void fg_dot_windows(const int8_t *x, int32_t step, int32_t pitch,
                                  const int8_t *filters, int32_t bytes, int32_t channels,
                                  int32_t pixels, int32_t *sums) {
    for (int32_t channel = 0; channel < channels; ++channel) {
        for (int32_t pixel = 0; pixel < pixels; ++pixel) {
            sums[pixel] =
                fg_dot_bytes(x + channel * pitch + pixel * step, filters + channel * bytes, bytes);
        }
        sums += FG_SUMS_PIXELS;
    }
}

static inline void fg_dot_six_windows(const int8_t *x, int32_t step, int32_t pitch,
                                      const int8_t *filters, int32_t channels, int32_t *sums) {
    fg_dot_windows(x, step, pitch, filters, FG_BYTE_LANES, channels, FG_SIX_PIXELS, sums);
}

static inline void fg_dot_three_windows(const int8_t *x, int32_t step, int32_t pitch,
                                        const int8_t *filters, int32_t channels, int32_t *sums) {
    fg_dot_windows(x, step, pitch, filters, FG_BYTE_LANES, channels, FG_THREE_PIXELS, sums);
}

static inline void fg_dot_six_wide_windows(const int8_t *x, int32_t step, int32_t pitch,
                                           const int8_t *filters, int32_t channels, int32_t *sums) {
    fg_dot_windows(x, step, pitch, filters, 2 * FG_BYTE_LANES, channels, FG_SIX_PIXELS, sums);
}

static inline void fg_dot_three_wide_windows(const int8_t *x, int32_t step, int32_t pitch,
                                             const int8_t *filters, int32_t channels,
                                             int32_t *sums) {
    fg_dot_windows(x, step, pitch, filters, 2 * FG_BYTE_LANES, channels, FG_THREE_PIXELS, sums);
}

static inline void fg_dot_six_long_windows(const int8_t *x, int32_t step, int32_t pitch,
                                           const int8_t *filters, int32_t channels, int32_t *sums) {
    fg_dot_windows(x, step, pitch, filters, 4 * FG_BYTE_LANES, channels, FG_SIX_PIXELS, sums);
}

static inline void fg_dot_three_long_windows(const int8_t *x, int32_t step, int32_t pitch,
                                             const int8_t *filters, int32_t channels,
                                             int32_t *sums) {
    fg_dot_windows(x, step, pitch, filters, 4 * FG_BYTE_LANES, channels, FG_THREE_PIXELS, sums);
}

static inline void fg_dot_six_neighbours(const int8_t *x, int32_t pitch, const int8_t *filters,
                                         int32_t channels, int32_t *sums) {
    fg_dot_six_windows(x, 3, pitch, filters, channels, sums);
}

#endif
