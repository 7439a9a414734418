/* SPDX-License-Identifier: Apache-2.0 */
#include "fg_fixed_point.h"

#define UNIT (1 << 20) /* fractional steps of an input while it is scaled */

static int32_t row_at(const int32_t step[3], int32_t outer, int32_t middle) {
    return outer * step[0] + middle * step[1];
}

static int32_t to_sum(const fg_add_params *params, int32_t which, int32_t value) {
    const fg_tensor_scale *scale = &params->input_scale[which];
    return fg_scale_twice((value - params->input_zero[which]) * UNIT, scale->value, scale->shift);
}

static void add_row(const fg_add_params *params, const int8_t *first, const int8_t *second,
                    int8_t *output) {
    const fg_broadcast *shape = &params->shape;
    for (int32_t index = 0; index < shape->size[2]; ++index) {
        const int32_t sum = to_sum(params, 0, *first) + params->sign * to_sum(params, 1, *second);
        const int32_t scaled = fg_scale_twice(sum, params->scale.value, params->scale.shift);
        *output++ = fg_to_output(scaled, &params->output);
        first += shape->step[0][2];
        second += shape->step[1][2];
    }
}

void fg_add(const fg_add_params *params, const int8_t *first, const int8_t *second,
            int8_t *output) {
    const fg_broadcast *shape = &params->shape;
    for (int32_t outer = 0; outer < shape->size[0]; ++outer) {
        for (int32_t middle = 0; middle < shape->size[1]; ++middle) {
            add_row(params, first + row_at(shape->step[0], outer, middle),
                    second + row_at(shape->step[1], outer, middle), output);
            output += shape->size[2];
        }
    }
}

static void multiply_row(const fg_mul_params *params, const int8_t *first, const int8_t *second,
                         int8_t *output) {
    const fg_broadcast *shape = &params->shape;
    for (int32_t index = 0; index < shape->size[2]; ++index) {
        const int32_t product =
            (*first - params->input_zero[0]) * (*second - params->input_zero[1]);
        const int32_t scaled = fg_scale_twice(product, params->scale.value, params->scale.shift);
        *output++ = fg_to_output(scaled, &params->output);
        first += shape->step[0][2];
        second += shape->step[1][2];
    }
}

void fg_mul(const fg_mul_params *params, const int8_t *first, const int8_t *second,
            int8_t *output) {
    const fg_broadcast *shape = &params->shape;
    for (int32_t outer = 0; outer < shape->size[0]; ++outer) {
        for (int32_t middle = 0; middle < shape->size[1]; ++middle) {
            multiply_row(params, first + row_at(shape->step[0], outer, middle),
                         second + row_at(shape->step[1], outer, middle), output);
            output += shape->size[2];
        }
    }
}
