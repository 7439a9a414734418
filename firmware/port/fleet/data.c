/* SPDX-License-Identifier: Apache-2.0 */
#include "data.h"

#include <string.h>

#include "fleetgrad/fg_rng.h"

/* Keys of what is drawn for a device; the round does not enter: a device keeps its samples. */
#define DRAWN_ROUND   0xFFFFFFFFU
#define SAMPLE_STEP   0x9E3779B9U
#define HELD_OUT_WORD 0xA5A5A5A5U
#define NOISE_WORD    0x85EBCA6BU
#define PER_WORD      4U
#define BLOCK         64U

static uint8_t limited(int32_t value) {
    return (uint8_t)(int8_t)(value > 127 ? 127 : (value < -128 ? -128 : value));
}

/* BLOCK bytes of one sample: the pool's input and, of each byte of random numbers, noise * (byte -
 * 128) / 128. */
static inline void draw_block(const uint8_t *middle, uint32_t count, uint32_t noise, uint32_t key,
                              uint8_t *input) {
    uint32_t words[BLOCK / PER_WORD];
    uint8_t random[BLOCK];
    for (uint32_t w = 0U; w < BLOCK / PER_WORD; w++) {
        words[w] = fg_mix32(key + w);
    }
    memcpy(random, words, sizeof random);
    for (size_t i = 0U; i < count; i++) {
        const int32_t deviation = ((int32_t)noise * (random[i] - 128)) >> 7;
        input[i] = limited((int8_t)middle[i] + deviation);
    }
}

static void draw_input(const uint8_t *restrict middle, uint32_t bytes, uint32_t noise, uint32_t key,
                       uint8_t *restrict input) {
    for (; bytes >= BLOCK; bytes -= BLOCK) {
        draw_block(middle, BLOCK, noise, key, input);
        key += BLOCK / PER_WORD;
        middle += BLOCK;
        input += BLOCK;
    }
    draw_block(middle, bytes, noise, key, input);
}

static fg_samples draw(const fg_fleet *fleet, uint32_t device, bool held_out, uint32_t sample_bytes,
                       uint8_t *inputs, uint8_t *targets) {
    const fg_fleet_drawn *drawn = &fleet->drawn;
    const uint32_t own_key = fg_round_key(drawn->seed, DRAWN_ROUND, fleet->first_id + device);
    const uint32_t spread = drawn->train_most - drawn->train_least + 1U;
    const uint32_t own_class = fg_mix32(own_key + 1U) % drawn->classes;
    fg_samples made = {inputs, targets, drawn->eval_count};
    if (!held_out) {
        made.count = drawn->train_least + fg_mix32(own_key + 2U) % spread;
    }
    const uint32_t part_key = held_out ? fg_mix32(own_key ^ HELD_OUT_WORD) : own_key;
    for (uint32_t i = 0U; i < made.count; i++) {
        const uint32_t key = fg_mix32(part_key ^ ((i + 1U) * SAMPLE_STEP));
        const uint32_t choice = fg_mix32(key);
        const bool own = (choice & 255U) < drawn->own;
        const uint32_t label = own ? own_class : (choice >> 8) % drawn->classes;
        targets[i] = (uint8_t)label;
        draw_input(fleet->train.inputs + (size_t)label * sample_bytes, sample_bytes, drawn->noise,
                   key ^ NOISE_WORD, inputs + (size_t)i * sample_bytes);
    }
    return made;
}

fg_samples fg_fleet_take(const fg_fleet *fleet, uint32_t device, bool held_out,
                         uint32_t sample_bytes, uint8_t *inputs, uint8_t *targets) {
    if (fleet->drawn.enabled != 0U) {
        return draw(fleet, device, held_out, sample_bytes, inputs, targets);
    }
    const fg_fleet_part *part = held_out ? &fleet->eval : &fleet->train;
    const uint64_t first = part->first[device];
    const uint32_t count = (uint32_t)(part->first[device + 1U] - first);
    if (part->rows == NULL) {
        const fg_samples there = {part->inputs + first * sample_bytes,
                                  part->targets + first * fleet->target_bytes, count};
        return there;
    }
    for (uint32_t i = 0U; i < count; i++) {
        const size_t row = part->rows[first + i];
        memcpy(inputs + (size_t)i * sample_bytes, part->inputs + row * sample_bytes, sample_bytes);
        memcpy(targets + (size_t)i * fleet->target_bytes, part->targets + row * fleet->target_bytes,
               fleet->target_bytes);
    }
    const fg_samples made = {inputs, targets, count};
    return made;
}
