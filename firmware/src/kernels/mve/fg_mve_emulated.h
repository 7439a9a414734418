/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_MVE_EMULATED_H
#define FG_MVE_EMULATED_H

/* The vectors of fg_mve.h in plain C, lane by lane, for tests on other machines. Included by it. */

typedef struct fg_bytes {
    int8_t at[FG_BYTE_LANES];
} fg_bytes;

typedef struct fg_halves {
    int16_t at[FG_HALF_LANES];
} fg_halves;

typedef struct fg_words {
    int32_t at[FG_WORD_LANES];
} fg_words;

#define FG_EACH_BYTE(lane) for (int32_t lane = 0; lane < FG_BYTE_LANES; ++lane)
#define FG_EACH_HALF(lane) for (int32_t lane = 0; lane < FG_HALF_LANES; ++lane)
#define FG_EACH_WORD(lane) for (int32_t lane = 0; lane < FG_WORD_LANES; ++lane)

static inline fg_bytes fg_load_first(const int8_t *from, int32_t count) {
    fg_bytes loaded = {{0}};
    memcpy(loaded.at, from, (size_t)(count < FG_BYTE_LANES ? count : FG_BYTE_LANES));
    return loaded;
}

static inline fg_bytes fg_load_bytes(const int8_t *from) {
    return fg_load_first(from, FG_BYTE_LANES);
}

static inline bool fg_all_negative(const int8_t *values, int32_t count) {
    for (int32_t index = 0; index < count; ++index) {
        if (values[index] >= 0) {
            return false;
        }
    }
    return true;
}

static inline uint32_t fg_largest_byte_size(const int8_t *values, int32_t count) {
    uint32_t most = 0;
    for (int32_t index = 0; index < count; ++index) {
        const uint32_t size = (uint32_t)(values[index] < 0 ? -values[index] : values[index]);
        most = size > most ? size : most;
    }
    return most;
}

static inline int32_t fg_add_bytes(int32_t sum, const int8_t *from, int32_t count) {
    for (int32_t index = 0; index < count; ++index) {
        sum += from[index];
    }
    return sum;
}

static inline fg_words fg_load_first_words(const int32_t *from, int32_t count) {
    fg_words loaded = {{0}};
    memcpy(loaded.at, from, (size_t)count * sizeof *from);
    return loaded;
}

static inline fg_words fg_load_words(const int32_t *from) {
    return fg_load_first_words(from, FG_WORD_LANES);
}

static inline void fg_store_first_words(int32_t *to, fg_words words, int32_t count) {
    memcpy(to, words.at, (size_t)count * sizeof *to);
}

static inline void fg_store_words(int32_t *to, fg_words words) {
    fg_store_first_words(to, words, FG_WORD_LANES);
}

static inline fg_words fg_load_first_as_words(const int8_t *from, int32_t count) {
    fg_words loaded = {{0}};
    for (int32_t lane = 0; lane < count; ++lane) {
        loaded.at[lane] = from[lane];
    }
    return loaded;
}

static inline fg_words fg_load_as_words(const int8_t *from) {
    return fg_load_first_as_words(from, FG_WORD_LANES);
}

static inline fg_words fg_all_words(int32_t value) {
    const fg_words all = {{value, value, value, value}};
    return all;
}

static inline fg_words fg_word_steps(int32_t step) {
    const fg_words steps = {{0, step, 2 * step, 3 * step}};
    return steps;
}

static inline fg_words fg_add_words(fg_words a, fg_words b) {
    FG_EACH_WORD(lane) {
        a.at[lane] = (int32_t)((uint32_t)a.at[lane] + (uint32_t)b.at[lane]);
    }
    return a;
}

static inline fg_words fg_add_word(fg_words a, int32_t b) {
    return fg_add_words(a, fg_all_words(b));
}

static inline fg_words fg_subtract_words(fg_words a, fg_words b) {
    FG_EACH_WORD(lane) {
        a.at[lane] = (int32_t)((uint32_t)a.at[lane] - (uint32_t)b.at[lane]);
    }
    return a;
}

static inline fg_words fg_min_words(fg_words a, fg_words b) {
    FG_EACH_WORD(lane) {
        a.at[lane] = a.at[lane] < b.at[lane] ? a.at[lane] : b.at[lane];
    }
    return a;
}

static inline fg_words fg_max_words(fg_words a, fg_words b) {
    FG_EACH_WORD(lane) {
        a.at[lane] = a.at[lane] > b.at[lane] ? a.at[lane] : b.at[lane];
    }
    return a;
}

static inline fg_words fg_high_mul_words(fg_words a, fg_words b) {
    FG_EACH_WORD(lane) {
        a.at[lane] = (int32_t)(((int64_t)a.at[lane] * b.at[lane] + (1LL << 30)) >> 31);
    }
    return a;
}

static inline fg_words fg_high_mul_word(fg_words a, int32_t b) {
    return fg_high_mul_words(a, fg_all_words(b));
}

static inline fg_words fg_shift_words(fg_words a, fg_words shift) {
    FG_EACH_WORD(lane) {
        const int32_t left = shift.at[lane];
        const int64_t half = left < 0 ? (1LL << -left) >> 1 : 0;
        a.at[lane] = left < 0 ? (int32_t)((a.at[lane] + half) >> -left)
                              : (int32_t)((uint32_t)a.at[lane] << left);
    }
    return a;
}

static inline fg_words fg_shift_word(fg_words a, int32_t shift) {
    return fg_shift_words(a, fg_all_words(shift));
}

static inline fg_words fg_shift_left_words(fg_words a, int32_t shift) {
    return fg_shift_word(a, shift);
}

static inline fg_words fg_both_negative(fg_words a, fg_words b) {
    FG_EACH_WORD(lane) {
        a.at[lane] = (a.at[lane] & b.at[lane]) >> 31;
    }
    return a;
}

static inline fg_words fg_negative_words(fg_words a) {
    return fg_both_negative(a, a);
}

static inline void fg_scatter_as_bytes(int8_t *to, fg_words distances, fg_words words) {
    FG_EACH_WORD(lane) {
        to[distances.at[lane]] = (int8_t)(words.at[lane] & 0xFF);
    }
}

static inline void fg_store_first_as_bytes(int8_t *to, fg_words words, int32_t count) {
    for (int32_t lane = 0; lane < count; ++lane) {
        to[lane] = (int8_t)(words.at[lane] & 0xFF);
    }
}

static inline void fg_store_as_bytes(int8_t *to, fg_words words) {
    fg_store_first_as_bytes(to, words, FG_WORD_LANES);
}

typedef struct fg_word_pair {
    fg_words even, odd;
} fg_word_pair;

static inline fg_word_pair fg_load_first_word_pair(const int32_t *from, int32_t count) {
    fg_word_pair pair = {{{0}}, {{0}}};
    for (int32_t lane = 0; lane < count; ++lane) {
        (lane % 2 == 0 ? &pair.even : &pair.odd)->at[lane / 2] = from[lane];
    }
    return pair;
}

static inline fg_word_pair fg_load_word_pair(const int32_t *from) {
    return fg_load_first_word_pair(from, FG_HALF_LANES);
}

static inline fg_word_pair fg_widen_halves(fg_halves a) {
    fg_word_pair pair;
    FG_EACH_WORD(lane) {
        pair.even.at[lane] = a.at[2 * lane];
        pair.odd.at[lane] = a.at[2 * lane + 1];
    }
    return pair;
}

static inline int16_t fg_saturate_half(int32_t value) {
    return (int16_t)(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
}

static inline fg_halves fg_narrow_words(fg_words even, fg_words odd) {
    fg_halves narrow;
    FG_EACH_HALF(lane) {
        narrow.at[lane] = fg_saturate_half((lane % 2 == 0 ? even : odd).at[lane / 2]);
    }
    return narrow;
}

static inline fg_words fg_gather_words(const int32_t *from, fg_words distances) {
    fg_words loaded;
    FG_EACH_WORD(lane) {
        loaded.at[lane] = from[distances.at[lane] / 4];
    }
    return loaded;
}

static inline fg_halves fg_load_first_as_halves(const int8_t *from, int32_t count) {
    fg_halves loaded = {{0}};
    for (int32_t lane = 0; lane < count; ++lane) {
        loaded.at[lane] = from[lane];
    }
    return loaded;
}

static inline fg_halves fg_load_as_halves(const int8_t *from) {
    return fg_load_first_as_halves(from, FG_HALF_LANES);
}

static inline fg_halves fg_all_halves(int16_t value) {
    fg_halves all;
    FG_EACH_HALF(lane) {
        all.at[lane] = value;
    }
    return all;
}

static inline fg_halves fg_half_steps(int32_t step) {
    fg_halves steps;
    FG_EACH_HALF(lane) {
        steps.at[lane] = (int16_t)(lane * step);
    }
    return steps;
}

static inline void fg_scatter_first_halves_as_bytes(int8_t *to, fg_halves distances,
                                                    fg_halves halves, int32_t count) {
    for (int32_t lane = 0; lane < count; ++lane) {
        to[(uint16_t)distances.at[lane]] = (int8_t)(halves.at[lane] & 0xFF);
    }
}

static inline void fg_scatter_halves_as_bytes(int8_t *to, fg_halves distances, fg_halves halves) {
    fg_scatter_first_halves_as_bytes(to, distances, halves, FG_HALF_LANES);
}

static inline fg_halves fg_add_half(fg_halves a, int32_t b) {
    FG_EACH_HALF(lane) {
        a.at[lane] = fg_saturate_half(a.at[lane] + b);
    }
    return a;
}

static inline fg_halves fg_min_halves(fg_halves a, fg_halves b) {
    FG_EACH_HALF(lane) {
        a.at[lane] = a.at[lane] < b.at[lane] ? a.at[lane] : b.at[lane];
    }
    return a;
}

static inline fg_halves fg_max_halves(fg_halves a, fg_halves b) {
    FG_EACH_HALF(lane) {
        a.at[lane] = a.at[lane] > b.at[lane] ? a.at[lane] : b.at[lane];
    }
    return a;
}

static inline void fg_store_first_halves_as_bytes(int8_t *to, fg_halves halves, int32_t count) {
    for (int32_t lane = 0; lane < count; ++lane) {
        to[lane] = (int8_t)(halves.at[lane] & 0xFF);
    }
}

static inline void fg_store_halves_as_bytes(int8_t *to, fg_halves halves) {
    fg_store_first_halves_as_bytes(to, halves, FG_HALF_LANES);
}

static inline int32_t fg_dot_bytes(const int8_t *a, const int8_t *b, int32_t count) {
    int32_t sum = 0;
    for (int32_t index = 0; index < count; ++index) {
        sum += a[index] * b[index];
    }
    return sum;
}

static inline fg_words fg_dot_four_long(const int8_t *const x[4], const int8_t *y, int32_t count) {
    const fg_words sums = {{fg_dot_bytes(x[0], y, count), fg_dot_bytes(x[1], y, count),
                            fg_dot_bytes(x[2], y, count), fg_dot_bytes(x[3], y, count)}};
    return sums;
}

static inline void fg_copy_bytes(int8_t *to, const int8_t *from, int32_t count) {
    memmove(to, from, (size_t)count);
}

static inline void fg_fill_bytes(int8_t *to, int8_t value, int32_t count) {
    memset(to, value, (size_t)count);
}

#endif
