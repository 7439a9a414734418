/* SPDX-License-Identifier: Apache-2.0 */

/* The console of QEMU's Xtensa simulator in place of a UART: a file of the host that is read and
 * written through calls of the simulator, and never interrupts. */

#include "board.h"
#include "chip.h"
#include "core.h"

enum { CONSOLE_IN = 0, CONSOLE_OUT = 1 };

/* As many bytes as the simulator keeps. */
#define PIECE_BYTES 16U

void chip_uart_start(void) {
}

bool chip_uart_takes(void) {
    return true;
}

void chip_uart_send(uint8_t byte) {
    (void)core_simulator(SIMULATOR_WRITE, CONSOLE_OUT, (uintptr_t)&byte, 1U);
}

void chip_uart_interrupt(void) {
    uint8_t bytes[PIECE_BYTES];
    const int32_t count =
        core_simulator(SIMULATOR_READ, CONSOLE_IN, (uintptr_t)bytes, sizeof bytes);
    for (int32_t i = 0; i < count; i++) {
        port_received(bytes[i]);
    }
}
