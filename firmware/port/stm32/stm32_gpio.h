/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_STM32_GPIO_H
#define FG_STM32_GPIO_H

/* Pins of ST's STM32 families from the F2 on. */

#include <stddef.h>
#include <stdint.h>

typedef struct stm32_gpio {
    volatile uint32_t mode;
    volatile uint32_t unused0[2];
    volatile uint32_t pull; /* 0x0C */
    volatile uint32_t unused1[4];
    volatile uint32_t function[2]; /* 0x20 */
} stm32_gpio;

_Static_assert(offsetof(stm32_gpio, pull) == 0x0CU, "as in the reference manual");
_Static_assert(offsetof(stm32_gpio, function) == 0x20U, "as in the reference manual");

#define GPIO_PORT_BYTES 0x400U
#define GPIO_ALTERNATE  2U
#define GPIO_PULL_UP    1U
#define GPIO_USART      7U /* the pins' function for USART1 to 3 */

/* Gives a pin to a USART. A line that nobody drives reads as idle. */
static inline void gpio_connect_usart(stm32_gpio *port, uint32_t pin) {
    const uint32_t at = pin * 2U;
    volatile uint32_t *function = &port->function[pin / 8U];
    const uint32_t nibble = pin % 8U * 4U;
    *function = (*function & ~(15U << nibble)) | (GPIO_USART << nibble);
    port->pull = (port->pull & ~(3U << at)) | (GPIO_PULL_UP << at);
    port->mode = (port->mode & ~(3U << at)) | (GPIO_ALTERNATE << at);
}

#endif
