/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_ADD_MVE_H
#define FG_ADD_MVE_H

#include "fleetgrad/fg_kernels.h"

/* One row of fg_add(): the innermost dimension. */
void fg_add_row(const fg_add_params *params, const int8_t *first, const int8_t *second,
                int8_t *output);

#endif
