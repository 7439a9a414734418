/* SPDX-License-Identifier: Apache-2.0 */
#include "slots.h"

/* The only calls through the pointers of an fg_flash: the stack's bound is found by these names. */

fg_status fg_flash_read(const fg_flash *flash, uint32_t address, uint8_t *bytes, uint32_t count) {
    return flash->read(flash->context, address, bytes, count);
}

fg_status fg_flash_program(const fg_flash *flash, uint32_t address, const uint8_t *bytes,
                           uint32_t count) {
    return flash->program(flash->context, address, bytes, count);
}

fg_status fg_flash_erase(const fg_flash *flash, uint32_t sector) {
    return flash->erase(flash->context, sector);
}

fg_status fg_flash_sync(const fg_flash *flash) {
    return flash->sync == NULL ? FG_OK : flash->sync(flash->context);
}
