/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TRAIN_MVE_EMULATED_H
#define FG_TRAIN_MVE_EMULATED_H

/* The vectors of train_mve.h in plain C, lane by lane. Included by it. */

static inline fg_halves fg_load_first_halves(const int16_t *from, int32_t count) {
    fg_halves loaded = {{0}};
    memcpy(loaded.at, from, (size_t)count * sizeof *from);
    return loaded;
}

static inline fg_halves fg_gather_as_halves(const int8_t *from, fg_halves distances,
                                            int32_t count) {
    fg_halves loaded = {{0}};
    for (int32_t lane = 0; lane < count; ++lane) {
        loaded.at[lane] = from[(uint16_t)distances.at[lane]];
    }
    return loaded;
}

static inline fg_halves fg_gather_halves(const int16_t *from, fg_halves indices, int32_t count) {
    fg_halves loaded = {{0}};
    for (int32_t lane = 0; lane < count; ++lane) {
        loaded.at[lane] = from[(uint16_t)indices.at[lane]];
    }
    return loaded;
}

static inline uint32_t fg_any_bytes(const int8_t *row, int32_t step, int32_t rows, int32_t count) {
    uint32_t any = 0;
    for (; rows > 0; --rows) {
        for (int32_t lane = 0; lane < count; ++lane) {
            any |= (uint32_t)(row[lane] != 0) << lane;
        }
        row += step;
    }
    return any;
}

static inline void fg_store_first_halves(int16_t *to, fg_halves halves, int32_t count) {
    memcpy(to, halves.at, (size_t)count * sizeof *to);
}

static inline fg_halves fg_shift_half(fg_halves a, int32_t shift) {
    FG_EACH_HALF(lane) {
        a.at[lane] = (int16_t)((uint32_t)a.at[lane] << shift);
    }
    return a;
}

static inline fg_halves fg_high_mul_halves(fg_halves a, fg_halves b) {
    FG_EACH_HALF(lane) {
        a.at[lane] = (int16_t)((a.at[lane] * b.at[lane] + (1 << 14)) >> 15);
    }
    return a;
}

static inline fg_words fg_or_words(fg_words a, fg_words b) {
    FG_EACH_WORD(lane) {
        a.at[lane] |= b.at[lane];
    }
    return a;
}

static inline fg_words fg_and_words(fg_words a, fg_words b) {
    FG_EACH_WORD(lane) {
        a.at[lane] &= b.at[lane];
    }
    return a;
}

static inline fg_words fg_xor_words(fg_words a, fg_words b) {
    FG_EACH_WORD(lane) {
        a.at[lane] ^= b.at[lane];
    }
    return a;
}

static inline fg_words fg_min_word(fg_words a, int32_t b) {
    return fg_min_words(a, fg_all_words(b));
}

static inline fg_words fg_min_size(fg_words a, uint32_t b) {
    FG_EACH_WORD(lane) {
        a.at[lane] = (uint32_t)a.at[lane] < b ? a.at[lane] : (int32_t)b;
    }
    return a;
}

static inline fg_words fg_size_words(fg_words a) {
    FG_EACH_WORD(lane) {
        a.at[lane] = (int32_t)(a.at[lane] < 0 ? 0U - (uint32_t)a.at[lane] : (uint32_t)a.at[lane]);
    }
    return a;
}

static inline fg_words fg_round_size_words(fg_words a, int32_t shift) {
    FG_EACH_WORD(lane) {
        const uint64_t half = (1ULL << shift) >> 1;
        a.at[lane] = (int32_t)(((uint32_t)a.at[lane] + half) >> shift);
    }
    return a;
}

static inline uint32_t fg_or_across(fg_words a) {
    return (uint32_t)(a.at[0] | a.at[1] | a.at[2] | a.at[3]);
}

static inline fg_words fg_keep_between(fg_words a, fg_words seen, int32_t low, int32_t high) {
    FG_EACH_WORD(lane) {
        a.at[lane] = seen.at[lane] != low && seen.at[lane] != high ? a.at[lane] : 0;
    }
    return a;
}

static inline fg_words fg_keep_bits(fg_words a, uint32_t bits) {
    FG_EACH_WORD(lane) {
        a.at[lane] = (bits >> lane & 1U) != 0U ? a.at[lane] : 0;
    }
    return a;
}

static inline uint32_t fg_bits_between(fg_bytes a, int8_t low, int8_t high) {
    uint32_t bits = 0;
    FG_EACH_BYTE(lane) {
        bits |= (uint32_t)(a.at[lane] != low && a.at[lane] != high) << lane;
    }
    return bits;
}

static inline fg_words fg_dot_four_halves(const int8_t *const x[4], const int16_t *y,
                                          int32_t count) {
    fg_words sums = {{0}};
    for (int32_t index = 0; index < count; ++index) {
        FG_EACH_WORD(lane) {
            sums.at[lane] =
                (int32_t)((uint32_t)sums.at[lane] + (uint32_t)(x[lane][index] * y[index]));
        }
    }
    return sums;
}

static inline fg_words fg_multiply_words(fg_words a, fg_words b) {
    FG_EACH_WORD(lane) {
        a.at[lane] = (int32_t)((uint32_t)a.at[lane] * (uint32_t)b.at[lane]);
    }
    return a;
}

static inline void fg_copy_some_bytes(int8_t *to, const int8_t *from, uint32_t bits,
                                      int32_t count) {
    for (int32_t lane = 0; lane < count; ++lane) {
        to[lane] = (bits >> lane & 1U) != 0U ? from[lane] : (int8_t)0;
    }
}

static inline fg_words fg_add_saturating(fg_words a, fg_words b) {
    FG_EACH_WORD(lane) {
        const int64_t sum = (int64_t)a.at[lane] + b.at[lane];
        a.at[lane] = (int32_t)(sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum);
    }
    return a;
}

static inline fg_words fg_larger_size_words(fg_words a, fg_words b) {
    const fg_words size = fg_size_words(b);
    FG_EACH_WORD(lane) {
        a.at[lane] = (uint32_t)a.at[lane] > (uint32_t)size.at[lane] ? a.at[lane] : size.at[lane];
    }
    return a;
}

static inline fg_halves fg_larger_size_halves(fg_halves a, fg_halves b) {
    FG_EACH_HALF(lane) {
        const int32_t size = b.at[lane] < 0 ? -b.at[lane] : b.at[lane];
        a.at[lane] = (int16_t)((uint16_t)a.at[lane] > size ? a.at[lane] : size);
    }
    return a;
}

static inline uint32_t fg_most_size_words(fg_words a) {
    uint32_t most = 0;
    FG_EACH_WORD(lane) {
        most = (uint32_t)a.at[lane] > most ? (uint32_t)a.at[lane] : most;
    }
    return most;
}

static inline uint32_t fg_most_size_halves(fg_halves a) {
    uint32_t most = 0;
    FG_EACH_HALF(lane) {
        most = (uint16_t)a.at[lane] > most ? (uint16_t)a.at[lane] : most;
    }
    return most;
}

static inline fg_words fg_even_bits(fg_words a) {
    FG_EACH_WORD(lane) {
        a.at[lane] &= 1 << (2 * lane);
    }
    return a;
}

static inline fg_words fg_odd_bits(fg_words a) {
    FG_EACH_WORD(lane) {
        a.at[lane] &= 2 << (2 * lane);
    }
    return a;
}

static inline fg_words fg_gather_open_words(const int32_t *from, fg_words distances,
                                            fg_words open) {
    fg_words loaded = {{0}};
    FG_EACH_WORD(lane) {
        if (open.at[lane] != 0) {
            loaded.at[lane] = from[distances.at[lane] / 4];
        }
    }
    return loaded;
}

static inline void fg_scatter_halves(int16_t *to, fg_halves indices, fg_halves halves) {
    FG_EACH_HALF(lane) {
        to[(uint16_t)indices.at[lane]] = halves.at[lane];
    }
}

static inline uint32_t fg_largest_size(fg_words a, fg_words b) {
    uint32_t most = 0;
    FG_EACH_WORD(lane) {
        const uint32_t first = (uint32_t)fg_size_words(a).at[lane];
        const uint32_t second = (uint32_t)fg_size_words(b).at[lane];
        most = first > most ? first : most;
        most = second > most ? second : most;
    }
    return most;
}

static inline fg_words fg_upper_mul_word(fg_words a, int32_t b) {
    FG_EACH_WORD(lane) {
        a.at[lane] = (int32_t)((int64_t)a.at[lane] * b >> 32);
    }
    return a;
}

static inline fg_words fg_upper_mul_words(fg_words a, fg_words b) {
    FG_EACH_WORD(lane) {
        a.at[lane] = (int32_t)((int64_t)a.at[lane] * b.at[lane] >> 32);
    }
    return a;
}

static inline fg_words fg_shift_right_words(fg_words a, int32_t shift) {
    FG_EACH_WORD(lane) {
        a.at[lane] >>= shift;
    }
    return a;
}

static inline fg_words fg_mix_words(fg_words a, uint32_t first, uint32_t second) {
    FG_EACH_WORD(lane) {
        uint32_t x = (uint32_t)a.at[lane];
        x = (x ^ x >> 16) * first;
        x = (x ^ x >> 15) * second;
        a.at[lane] = (int32_t)(x ^ x >> 16);
    }
    return a;
}

static inline fg_words fg_lower_sizes(fg_words a) {
    FG_EACH_WORD(lane) {
        a.at[lane] &= 0xFFFF;
    }
    return a;
}

static inline fg_words fg_upper_sizes(fg_words a) {
    FG_EACH_WORD(lane) {
        a.at[lane] = (int32_t)((uint32_t)a.at[lane] >> 16);
    }
    return a;
}

static inline fg_words fg_change_of(fg_words a, fg_words b) {
    FG_EACH_WORD(lane) {
        a.at[lane] = (a.at[lane] + b.at[lane]) >> 16;
    }
    return a;
}

static inline fg_halves fg_load_halves(const int16_t *from) {
    return fg_load_first_halves(from, FG_HALF_LANES);
}

static inline void fg_store_halves(int16_t *to, fg_halves halves) {
    fg_store_first_halves(to, halves, FG_HALF_LANES);
}

static inline fg_halves fg_subtract_pairs_from(fg_halves a, fg_word_pair b, int32_t limit) {
    FG_EACH_HALF(lane) {
        const int32_t less = (lane % 2 == 0 ? b.even : b.odd).at[lane / 2];
        const int32_t made = a.at[lane] - less;
        a.at[lane] = (int16_t)(made > limit ? limit : made < -limit ? -limit : made);
    }
    return a;
}

static inline void fg_store_rounded_upper_bytes(int8_t *to, fg_halves a) {
    FG_EACH_HALF(lane) {
        to[lane] = (int8_t)((a.at[lane] + 128) >> 8);
    }
}

#endif
