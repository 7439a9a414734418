/* SPDX-License-Identifier: Apache-2.0 */
#include "error.h"
#include "learn.h"
#include "masters.h"
#include "window.h"

#define SUM_BITS 8

/* One layer's step: two thin layers, one after the other. */
typedef struct thin {
    const fg_backward *layer;
    const fg_adapter *adapter;
    const int8_t *errors;
    const int8_t *input;
    int32_t pixels;
    int32_t *inside;  /* [pixels][rank]: inputs times down */
    int32_t *between; /* [pixels][rank]: errors times up */
    int32_t *sums;    /* a row */
    int8_t *unused;   /* weights that nobody reads */
} thin;

/* What the layer reads for an output pixel. */
static const int8_t *input_of(const thin *work, int32_t pixel) {
    const fg_window *const window = &work->layer->window;
    const int32_t y = pixel / window->out_w * window->stride_h;
    const int32_t x = pixel % window->out_w * window->stride_w;
    return work->input + (y * window->in_w + x) * work->layer->in_channels;
}

static void reduce_inputs(const thin *work, const int16_t *down) {
    const int32_t inputs = work->layer->in_channels;
    const int32_t zero = work->layer->input_zero;
    int32_t *inside = work->inside;
    for (int32_t pixel = 0; pixel < work->pixels; pixel++) {
        const int8_t *seen = input_of(work, pixel);
        for (int32_t k = 0; k < work->adapter->rank; k++) {
            const int16_t *factor = down + k * inputs;
            int64_t sum = 0;
            for (int32_t i = 0; i < inputs; i++) {
                sum += (int32_t)factor[i] * (seen[i] - zero);
            }
            *inside++ = (int32_t)fg_shift_round(sum, work->adapter->inside_shift,
                                                work->adapter->inside_limit);
        }
    }
}

/* Returns how far the errors between the factors were shifted to the right. */
static int32_t reduce_errors(const thin *work, const int16_t *up) {
    const fg_adapter *const adapter = work->adapter;
    const int32_t outputs = work->layer->out_channels;
    const int32_t half = (int32_t)(UINT32_C(1) << ((uint32_t)adapter->ratio.shift - 1U));
    const int32_t count = work->pixels * adapter->rank;
    uint32_t sizes = 0;
    for (int32_t at = 0; at < count; at++) {
        const int8_t *error = work->errors + at / adapter->rank * outputs;
        const int16_t *factor = up + at % adapter->rank;
        int64_t sum = 0;
        for (int32_t o = 0; o < outputs; o++) {
            const int32_t ratio = adapter->ratio.value[o * adapter->ratio.step];
            const int32_t scaled = (error[o] * ratio + half) >> adapter->ratio.shift;
            sum += (int64_t)scaled * *factor;
            factor += adapter->rank;
        }
        work->between[at] = (int32_t)fg_shift_round(sum, SUM_BITS, INT32_MAX);
        sizes |= fg_magnitude(work->between[at]);
    }
    const int32_t bits = fg_bit_length(sizes);
    const int32_t shift = (bits > adapter->error_bits) ? bits - adapter->error_bits : 0;
    const uint32_t most = (UINT32_C(1) << (uint32_t)adapter->error_bits) - 1U;
    const uint32_t round = (UINT32_C(1) << (uint32_t)shift) >> 1;
    for (int32_t at = 0; at < count; at++) {
        const uint32_t size = (fg_magnitude(work->between[at]) + round) >> (uint32_t)shift;
        const int32_t kept = (int32_t)((size > most) ? most : size);
        work->between[at] = (work->between[at] < 0) ? -kept : kept;
    }
    return shift;
}

static void learn_down(const thin *work, const fg_learning *learning, int16_t *down) {
    const int32_t inputs = work->layer->in_channels;
    const int32_t zero = work->layer->input_zero;
    const int32_t rank = work->adapter->rank;
    for (int32_t k = 0; k < rank; k++) {
        for (int32_t i = 0; i < inputs; i++) {
            work->sums[i] = 0;
        }
        for (int32_t pixel = 0; pixel < work->pixels; pixel++) {
            const int32_t error = work->between[pixel * rank + k];
            const int8_t *seen = input_of(work, pixel);
            for (int32_t i = 0; error != 0 && i < inputs; i++) {
                work->sums[i] += error * (seen[i] - zero);
            }
        }
        fg_learn_weights(learning, k, 0, inputs, work->sums, 1, down + k * inputs, work->unused);
    }
}

static void learn_up(const thin *work, const fg_learning *learning, int16_t *up) {
    const int32_t outputs = work->layer->out_channels;
    const int32_t rank = work->adapter->rank;
    for (int32_t o = 0; o < outputs; o++) {
        for (int32_t k = 0; k < rank; k++) {
            work->sums[k] = 0;
        }
        for (int32_t pixel = 0; pixel < work->pixels; pixel++) {
            const int32_t error = work->errors[pixel * outputs + o];
            for (int32_t k = 0; error != 0 && k < rank; k++) {
                work->sums[k] += error * work->inside[pixel * rank + k];
            }
        }
        fg_learn_weights(learning, o, 0, rank, work->sums, 1, up + o * rank, work->unused);
    }
}

void fg_adapter_learn(const fg_backward *layer, const fg_adapter *adapter, const fg_step *step,
                      const fg_error *from, const int8_t *errors, const int8_t *input,
                      int32_t *scratch, int32_t *bias, int16_t *factors) {
    if (from->bits == 0) {
        return;
    }
    const int32_t pixels = layer->window.out_h * layer->window.out_w;
    const int32_t between = pixels * adapter->rank;
    const int32_t row = (layer->in_channels > adapter->rank) ? layer->in_channels : adapter->rank;
    int16_t *const up = factors + adapter->rank * layer->in_channels;
    const thin work = {.layer = layer,
                       .adapter = adapter,
                       .errors = errors,
                       .input = input,
                       .pixels = pixels,
                       .inside = scratch,
                       .between = scratch + between,
                       .sums = scratch + 2 * between,
                       .unused = (int8_t *)(scratch + 2 * between + row)};
    /* Both gradients first: they are at where the factors were. */
    reduce_inputs(&work, factors);
    const int32_t shift = reduce_errors(&work, up);
    fg_error thinner = *from;
    thinner.exponent = (int16_t)(from->exponent + adapter->ratio.exponent + shift);
    const fg_learning down_learning = fg_learning_begin(&adapter->down, step, &thinner);
    const fg_learning up_learning = fg_learning_begin(&adapter->up, step, from);
    fg_learn_biases(&up_learning, errors, (uint32_t)pixels, (uint32_t)layer->out_channels, bias);
    learn_down(&work, &down_learning, factors);
    learn_up(&work, &up_learning, up);
}
