/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetgrad/fg_port.h"

#include "board.h"
#include "chip.h"
#include "fleetgrad/fg_image.h"

/* Set by the linker script: the flash that the loader fills with the board's data image. The
 * address of the size is the size. */
extern const uint8_t fg_image_start[];
extern const uint8_t fg_image_bytes[];

/* At 115200 baud this holds 44 ms of bytes. While a board computes, the host asks short questions
 * at most; whatever does not fit is lost like any damaged frame, and repeated. Power of two. */
#define RX_RING_BYTES 512U

#define TICKS_PER_MS (BOARD_CLOCK_HZ / 1000U)

/* One program runs on a board: the port's own state is the one place that is not the caller's. */
static struct {
    uint8_t ring[RX_RING_BYTES];
    volatile uint32_t head; /* bytes ever received; written by the interrupt alone */
    volatile uint32_t tail; /* bytes ever taken; written by fg_port_read() alone */
    volatile uint32_t lost; /* bytes that found the ring full: their frames fail the CRC */
    uint32_t last_ticks;
    uint32_t spare_ticks; /* less than a millisecond */
    uint32_t millis;
    bool refused; /* fg_port_write() met a full transmitter */
} port;

#define BOOT_MAGIC 0x464F4F42U

/* Survives a reset: the start-up code neither loads nor clears it. Both words are checked, because
 * after power-up the memory holds anything. */
__attribute__((section(".noinit"))) static struct {
    uint32_t magic;
    uint32_t resets;
    uint32_t check; /* ~resets */
} boot;

void port_received(uint8_t byte) {
    const uint32_t head = port.head;
    if (head - port.tail < RX_RING_BYTES) {
        port.ring[head & (RX_RING_BYTES - 1U)] = byte;
        port.head = head + 1U;
    } else {
        port.lost++;
    }
}

void fg_port_init(void) {
#if defined(BOARD_STARTS_CHIP)
    chip_start();
#endif
    if (boot.magic != BOOT_MAGIC || boot.check != ~boot.resets) {
        boot.magic = BOOT_MAGIC;
        boot.resets = 0U;
    }
    boot.resets++;
    boot.check = ~boot.resets;

    port_clear_regions();

    chip_clock_start();
    port.last_ticks = chip_clock_now();
    chip_uart_start();
    chip_core_start();
}

uint32_t fg_port_millis(void) {
    const uint32_t now = chip_clock_now();
    uint32_t elapsed = now - port.last_ticks; /* unsigned arithmetic takes the wrap */
    const uint32_t whole = elapsed / TICKS_PER_MS;
    port.last_ticks = now;
    elapsed = elapsed - whole * TICKS_PER_MS + port.spare_ticks;
    port.millis += whole;
    if (elapsed >= TICKS_PER_MS) {
        elapsed -= TICKS_PER_MS;
        port.millis++;
    }
    port.spare_ticks = elapsed;
    return port.millis;
}

uint64_t fg_port_ticks(void) {
    return chip_clock_ticks();
}

uint32_t fg_port_boot_count(void) {
    size_t bytes = 0U;
    const uint8_t *image = fg_port_image(&bytes);
    return fg_image_boot_base(image, bytes) + boot.resets;
}

const uint8_t *fg_port_image(size_t *bytes) {
    *bytes = (size_t)fg_image_bytes;
    return fg_image_start;
}

size_t fg_port_read(uint8_t *bytes, size_t capacity) {
#if defined(BOARD_POLLS_UART)
    chip_uart_interrupt();
#endif
    const uint32_t head = port.head;
    uint32_t tail = port.tail;
    size_t count = 0U;
    while (tail != head && count < capacity) {
        bytes[count++] = port.ring[tail++ & (RX_RING_BYTES - 1U)];
    }
    port.tail = tail;
    return count;
}

size_t fg_port_write(const uint8_t *bytes, size_t count) {
    size_t taken = 0U;
    while (taken < count && chip_uart_takes()) {
        chip_uart_send(bytes[taken++]);
    }
    port.refused = taken < count;
    return taken;
}

void fg_port_wait(uint32_t milliseconds) {
    /* Well below the wrap of the free-running timer, which must be read in every round of it. */
    const uint32_t limit = UINT32_MAX / TICKS_PER_MS / 2U;
    const uint32_t ticks = (milliseconds < limit ? milliseconds : limit) * TICKS_PER_MS;
    if (ticks == 0U) {
        return;
    }
    /* Masked before the alarm is set: one that came before the sleep would not end it. */
    const uint32_t before = chip_core_mask();
    chip_clock_alarm(ticks);
    const bool writable = port.refused && chip_uart_takes();
    if (port.head == port.tail && !writable) {
        chip_core_sleep();
    }
    chip_core_unmask(before);
    chip_clock_alarm_off();
}
