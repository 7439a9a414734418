/* SPDX-License-Identifier: Apache-2.0 */

/* The machine timer of RISC-V's core-local interruptor (CLINT): a counter of 64 bits and one
 * comparator per hart. */

#include "board.h"
#include "chip.h"

#define COMPARE_LOW  (*(volatile uint32_t *)(BOARD_CLINT + 0x4000U))
#define COMPARE_HIGH (*(volatile uint32_t *)(BOARD_CLINT + 0x4004U))
#define TIME_LOW     (*(volatile uint32_t *)(BOARD_CLINT + 0xBFF8U))
#define TIME_HIGH    (*(volatile uint32_t *)(BOARD_CLINT + 0xBFFCU))

void chip_clock_start(void) {
    chip_clock_alarm_off();
}

uint32_t chip_clock_now(void) {
    return TIME_LOW;
}

uint64_t chip_clock_ticks(void) {
    uint32_t high = TIME_HIGH;
    uint32_t low = TIME_LOW;
    const uint32_t again = TIME_HIGH;
    if (again != high) { /* it turned over in between */
        high = again;
        low = TIME_LOW;
    }
    return ((uint64_t)high << 32) | low;
}

void chip_clock_alarm(uint32_t ticks) {
    const uint64_t at = chip_clock_ticks() + ticks;
    COMPARE_HIGH = UINT32_MAX; /* nothing between two writes may look due */
    COMPARE_LOW = (uint32_t)at;
    COMPARE_HIGH = (uint32_t)(at >> 32);
}

void chip_clock_alarm_off(void) {
    COMPARE_HIGH = UINT32_MAX;
}

void chip_clock_interrupt(void) {
    chip_clock_alarm_off();
}
