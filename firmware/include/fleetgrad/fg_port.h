/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_PORT_H
#define FG_PORT_H

/* Everything that touches a chip or an operating system. A port implements these and nothing else;
 * nothing under firmware/src/ includes any other header of a port. */

#include <stddef.h>
#include <stdint.h>

#include "fleetgrad/fg_store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Clock, UART, private data. Called once, first. */
void fg_port_init(void);

/* Milliseconds since start, wrapping. */
uint32_t fg_port_millis(void);

/* The finest clock there is, in a unit of the port's own: for measuring, not for waiting. */
uint64_t fg_port_ticks(void);

/* How often this board has started, counted across resets; never lower than before. */
uint32_t fg_port_boot_count(void);

/* The board's private data image (see SPEC.md, "Data image"), in flash; NULL where there is none.
 */
const uint8_t *fg_port_image(size_t *bytes);

/* Flash that keeps what must outlive a reset, its contents as the last start left them; NULL where
 * there is none. A port that never has any leaves this out, and is built with FG_NODE_FLASH=0. */
const fg_flash *fg_port_flash(void);

/* Takes up to `capacity` received bytes without waiting; 0 when none came. */
size_t fg_port_read(uint8_t *bytes, size_t capacity);

/* Hands over up to `count` bytes without waiting for the wire; returns how many were taken. */
size_t fg_port_write(const uint8_t *bytes, size_t count);

/* Sleeps until a byte arrives, the wire takes bytes again that fg_port_write() had to refuse, or
 * about `milliseconds` have passed. */
void fg_port_wait(uint32_t milliseconds);

/* The application, which the port starts when the chip is ready; defined once in every firmware. */
void fg_app_run(void);

#ifdef __cplusplus
}
#endif

#endif
