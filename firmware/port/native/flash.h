/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FLASH_H
#define FLASH_H

#include "fleetgrad/fg_store.h"

/* A flash in a file, made where there is none; ends the process when that cannot be done or the
 * file is no flash. One process has one. */
const fg_flash *flash_open(const char *path);

#endif
