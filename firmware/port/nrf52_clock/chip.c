/* SPDX-License-Identifier: Apache-2.0 */

/* Clocks of Nordic's nRF52: the crystal, as the internal oscillator is off by up to 8 %, more than
 * a UART forgives; and the cache in front of the flash. */

#include "chip.h"
#include "await.h"
#include "board.h"

#define CLOCK_START_CRYSTAL   (*(volatile uint32_t *)0x40000000U)
#define CLOCK_CRYSTAL_STARTED (*(volatile uint32_t *)0x40000100U)
#define NVMC_CACHE            (*(volatile uint32_t *)0x4001E540U)

#define CACHE_ON 1U

void chip_start(void) {
    NVMC_CACHE = CACHE_ON;
    CLOCK_CRYSTAL_STARTED = 0U;
    CLOCK_START_CRYSTAL = 1U;
    chip_await(&CLOCK_CRYSTAL_STARTED, 1U, 1U);
}
