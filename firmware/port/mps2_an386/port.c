/* SPDX-License-Identifier: Apache-2.0 */

#include "fleetgrad/fg_port.h"

#include "fleetgrad/fg_image.h"
#include "mps2.h"

/* Set by the linker script: the flash that the loader fills with the board's data image. The
 * address of the size is the size. */
extern const uint8_t fg_image_start[];
extern const uint8_t fg_image_bytes[];

/* At 115200 baud this holds 44 ms of bytes. While a board computes, the host asks short questions
 * at most; whatever does not fit is lost like any damaged frame, and repeated. Power of two. */
#define RX_RING_BYTES 512U

#define TICKS_PER_MS (MPS2_CLOCK_HZ / 1000U)

/* One program runs on a board: the port's own state is the one place that is not the caller's. */
static struct {
    uint8_t ring[RX_RING_BYTES];
    volatile uint32_t head; /* bytes ever received; written by the interrupt alone */
    volatile uint32_t tail; /* bytes ever taken; written by fg_port_read() alone */
    volatile uint32_t lost; /* bytes that found the ring full: their frames fail the CRC */
    uint32_t last_ticks;
    uint32_t spare_ticks; /* less than a millisecond */
    uint32_t millis;
    int refused; /* fg_port_write() met a full transmitter */
} port;

#define BOOT_MAGIC 0x464F4F42U

/* Survives a reset: the start-up code neither loads nor clears it. Both words are checked, because
 * after power-up the memory holds anything. */
__attribute__((section(".noinit"))) static struct {
    uint32_t magic;
    uint32_t resets;
    uint32_t check; /* ~resets */
} boot;

void UART0_RX_Handler(void);
void UART0_TX_Handler(void);
void TIMER1_Handler(void);

void UART0_RX_Handler(void) {
    MPS2_UART0->interrupt = MPS2_UART_RX_PENDING;
    while ((MPS2_UART0->state & MPS2_UART_RX_FULL) != 0U) {
        const uint8_t byte = (uint8_t)MPS2_UART0->data;
        const uint32_t head = port.head;
        if (head - port.tail < RX_RING_BYTES) {
            port.ring[head & (RX_RING_BYTES - 1U)] = byte;
            port.head = head + 1U;
        } else {
            port.lost++;
        }
    }
}

/* Both only end the sleep in fg_port_wait(). */
void UART0_TX_Handler(void) {
    MPS2_UART0->interrupt = MPS2_UART_TX_PENDING;
}

void TIMER1_Handler(void) {
    MPS2_TIMER1->control = 0U;
    MPS2_TIMER1->interrupt = 1U;
}

void fg_port_init(void) {
    if (boot.magic != BOOT_MAGIC || boot.check != ~boot.resets) {
        boot.magic = BOOT_MAGIC;
        boot.resets = 0U;
    }
    boot.resets++;
    boot.check = ~boot.resets;

    /* Free-running: 2^32 ticks are 171 s, and the main loop looks far more often. */
    MPS2_TIMER0->reload = UINT32_MAX;
    MPS2_TIMER0->value = UINT32_MAX;
    MPS2_TIMER0->control = MPS2_TIMER_ENABLE;
    port.last_ticks = MPS2_TIMER0->value;
    MPS2_DUAL0->load = UINT32_MAX;
    MPS2_DUAL0->control = MPS2_DUAL_ENABLE | MPS2_DUAL_BY_256 | MPS2_DUAL_32_BITS;

    MPS2_UART0->divider = MPS2_CLOCK_HZ / 115200U;
    MPS2_UART0->control =
        MPS2_UART_TX_ENABLE | MPS2_UART_RX_ENABLE | MPS2_UART_TX_INTERRUPT | MPS2_UART_RX_INTERRUPT;
    ARM_NVIC_ISER0 =
        (1U << MPS2_IRQ_UART0_RX) | (1U << MPS2_IRQ_UART0_TX) | (1U << MPS2_IRQ_TIMER1);
}

uint32_t fg_port_millis(void) {
    const uint32_t now = MPS2_TIMER0->value;
    uint32_t elapsed =
        port.last_ticks - now; /* it counts down; unsigned arithmetic takes the wrap */
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

/* The low half from the timer that counts every tick, the high half from the one that counts every
 * 256th: together they last for half a day. */
uint64_t fg_port_ticks(void) {
    const uint64_t coarse = (uint64_t)(UINT32_MAX - MPS2_DUAL0->value) << 8;
    const uint32_t fine = UINT32_MAX - MPS2_TIMER0->value;
    /* The two differ by a few hundred ticks and whole turns of the fine one. */
    const uint64_t turns = (coarse - fine + (UINT64_C(1) << 31)) >> 32;
    return fine + (turns << 32);
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
    while (taken < count && (MPS2_UART0->state & MPS2_UART_TX_FULL) == 0U) {
        MPS2_UART0->data = bytes[taken++];
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
    MPS2_TIMER1->control = 0U;
    MPS2_TIMER1->reload = ticks;
    MPS2_TIMER1->value = ticks;
    MPS2_TIMER1->control = MPS2_TIMER_ENABLE | MPS2_TIMER_INTERRUPT;
    /* With interrupts masked a pending one still ends WFI, so that none can slip in between the
     * last look and the sleep. */
    __asm volatile("cpsid i" ::: "memory");
    const int writable = port.refused && (MPS2_UART0->state & MPS2_UART_TX_FULL) == 0U;
    if (port.head == port.tail && !writable) {
        __asm volatile("dsb\n wfi" ::: "memory");
    }
    __asm volatile("cpsie i" ::: "memory");
    MPS2_TIMER1->control = 0U;
}
