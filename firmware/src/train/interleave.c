/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fleetgrad/fg_backward.h"

void fg_interleave(uint32_t pixels, uint32_t trained, uint32_t frozen, const int8_t *first,
                   int8_t *made) {
    /* From the last pixel on: what is overwritten has been moved already. */
    for (uint32_t pixel = pixels; pixel-- > 0U;) {
        int8_t *const whole = made + pixel * (trained + frozen);
        memmove(whole + trained, made + pixel * frozen, frozen);
        memcpy(whole, first + pixel * trained, trained);
    }
}
