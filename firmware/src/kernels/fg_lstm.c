/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fg_dot.h"
#include "fg_fixed_point.h"
#include "fg_gates.h"

enum { GATE_INPUT, GATE_FORGET, GATE_CELL, GATE_OUTPUT, GATES };

static int32_t to_int16(int32_t x) {
    return fg_clamp(x, INT16_MIN, INT16_MAX);
}

/* What goes into a gate's function, for `count` cells from `first`, in Q3.12. */
static void gate_sums(const fg_lstm_params *params, const fg_lstm_gate *gate, const int8_t *input,
                      const int8_t *hidden, int32_t first, int32_t count,
                      int32_t result[FG_DOT_ROWS]) {
    uint32_t sums[FG_DOT_ROWS];
    const int32_t inputs = params->inputs;
    fg_dot_rows(input, gate->input_weights + first * inputs, inputs, gate->input_bias + first,
                count, sums);
    const fg_tensor_scale *scale = &gate->input_scale;
    for (int32_t index = 0; index < count; ++index) {
        result[index] = to_int16(fg_scale_twice((int32_t)sums[index], scale->value, scale->shift));
    }
    const int32_t cells = params->cells;
    fg_dot_rows(hidden, gate->recurrent_weights + first * cells, cells,
                gate->recurrent_bias + first, count, sums);
    scale = &gate->recurrent_scale;
    for (int32_t index = 0; index < count; ++index) {
        const int32_t scaled = fg_scale_twice((int32_t)sums[index], scale->value, scale->shift);
        result[index] = to_int16(result[index] + scaled);
    }
}

/* The next value of a cell; both gates in Q0.15, `sum` goes into the cell gate's tanh. */
static int16_t next_cell(const fg_lstm_params *params, int32_t input, int32_t forget, int32_t sum,
                         int32_t cell) {
    const int32_t kept = fg_divide_by_power_of_two(forget * cell, 15);
    const int32_t added =
        fg_divide_by_power_of_two(input * fg_tanh16(sum, 3), 15 + params->cell_bits);
    const int32_t next = to_int16(kept + added);
    return (int16_t)(params->clip > 0 ? fg_clamp(next, -params->clip, params->clip) : next);
}

static void step(const fg_lstm_params *params, const int8_t *input, const int8_t *hidden,
                 int16_t *cell, int8_t *output) {
    const int32_t absent = GATES - params->gate_count;
    for (int32_t first = 0; first < params->cells; first += FG_DOT_ROWS) {
        const int32_t count = fg_min(params->cells - first, FG_DOT_ROWS);
        int32_t sums[GATES][FG_DOT_ROWS];
        for (int32_t gate = absent; gate < GATES; ++gate) {
            gate_sums(params, params->gates + gate - absent, input, hidden, first, count,
                      sums[gate]);
        }
        for (int32_t index = 0; index < count; ++index) {
            const int32_t forget = fg_logistic16(sums[GATE_FORGET][index]);
            const int32_t entering =
                absent > 0 ? INT16_MAX - forget : fg_logistic16(sums[GATE_INPUT][index]);
            cell[index] = next_cell(params, entering, forget, sums[GATE_CELL][index], cell[index]);
            const int32_t shown =
                fg_logistic16(sums[GATE_OUTPUT][index]) * fg_tanh16(cell[index], params->cell_bits);
            const int32_t scaled = fg_scale_twice(shown, params->scale.value, params->scale.shift);
            *output++ = fg_to_output(scaled, &params->output);
        }
        cell += count;
    }
}

void fg_lstm(const fg_lstm_params *params, const int8_t *input, int8_t *hidden, int16_t *cell,
             int8_t *output) {
    for (int32_t index = 0; index < params->steps; ++index) {
        step(params, input, hidden, cell, output);
        memcpy(hidden, output, (size_t)params->cells);
        input += params->inputs;
        output += params->cells;
    }
}
