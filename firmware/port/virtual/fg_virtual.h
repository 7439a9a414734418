/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_VIRTUAL_H
#define FG_VIRTUAL_H

/* The firmware as a shared library: any number of devices in one process, each in memory that the
 * caller owns, none aware of the others. Two threads may run two devices at once, never one. The
 * library holds exactly one model, the one it was built with. */

#include <stddef.h>
#include <stdint.h>

#include "fleetgrad/fg_model.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FG_VIRTUAL_API __attribute__((visibility("default")))

/* --- A node: session, rounds, private data -------------------------------------------------- */

/* Bytes that a device needs, FG_ALIGNMENT aligned. */
FG_VIRTUAL_API size_t fg_virtual_bytes(void);

/* Starts the device as after power-up: nothing of what `memory` held survives. `image` stays the
 * caller's and must outlive the device; NULL: none. Returns an fg_status: that of fg_node_init(),
 * or FG_ERR_SIZE when `memory` is too small. */
FG_VIRTUAL_API int32_t fg_virtual_init(void *memory, size_t bytes, const uint8_t *image,
                                       size_t image_bytes, uint32_t boot_count,
                                       uint32_t firmware_hash);

/* The same with flash: `flash_bytes` bytes at `flash`, whole KiB in pairs, which outlive the device
 * and hold what it keeps. They stay the caller's, like the image. */
FG_VIRTUAL_API int32_t fg_virtual_init_with_flash(void *memory, size_t bytes, const uint8_t *image,
                                                  size_t image_bytes, uint32_t boot_count,
                                                  uint32_t firmware_hash, uint8_t *flash,
                                                  uint32_t flash_bytes);

FG_VIRTUAL_API void fg_virtual_receive(void *memory, const uint8_t *bytes, size_t count);

/* Works until there is nothing left to do, `out` is full, or `pieces` pieces of work (samples,
 * frames) are done: one call instead of thousands. Returns the number of bytes put into `out`;
 * *more is 1 when it should be called again without waiting. */
FG_VIRTUAL_API size_t fg_virtual_run(void *memory, uint32_t now_ms, uint32_t pieces, uint8_t *out,
                                     size_t capacity, int32_t *more);

/* fg_node_poll(), fg_node_transmit() and fg_node_wait_ms() themselves. */
FG_VIRTUAL_API int32_t fg_virtual_poll(void *memory, uint32_t now_ms);
FG_VIRTUAL_API size_t fg_virtual_transmit(void *memory, uint8_t *bytes, size_t capacity);
FG_VIRTUAL_API uint32_t fg_virtual_wait_ms(const void *memory, uint32_t now_ms);

/* --- The wire alone ------------------------------------------------------------------------- */

/* What a device's decoder finds in a stream: header and payload of every intact frame, each behind
 * its length in four bytes, in `frames`, which needs room for twice as many bytes as the stream
 * has. Returns how many bytes that are; *frames_bad: how often something between delimiters was
 * none. */
FG_VIRTUAL_API size_t fg_virtual_decode(const uint8_t *stream, size_t count, uint8_t *frames,
                                        uint32_t *frames_bad);

/* --- The model alone ------------------------------------------------------------------------ */

/* The descriptor: sizes and identity, read by the host. */
FG_VIRTUAL_API const fg_model *fg_virtual_model(void);

/* Prepares `memory` (fg_virtual_bytes()) for the calls below with the exported parameters. */
FG_VIRTUAL_API int32_t fg_virtual_load(void *memory, size_t bytes);

/* `count` samples, one after the other; each output goes to `outputs`. */
FG_VIRTUAL_API int32_t fg_virtual_forward(void *memory, const int8_t *inputs, int8_t *outputs,
                                          uint32_t count);

/* The same without outputs: how many of them each range has cut off, range_count numbers. */
FG_VIRTUAL_API int32_t fg_virtual_measure(void *memory, const int8_t *inputs, uint32_t count,
                                          uint32_t *clipped);

/* One sample; `values` is NULL for labels. */
FG_VIRTUAL_API int32_t fg_virtual_evaluate(void *memory, const int8_t *input, uint32_t label,
                                           const int8_t *values, fg_metrics *metrics);
FG_VIRTUAL_API int32_t fg_virtual_accumulate(void *memory, const int8_t *input, uint32_t label,
                                             const int8_t *values, uint32_t row,
                                             fg_metrics *metrics);
FG_VIRTUAL_API int32_t fg_virtual_apply(void *memory, uint32_t rows, const fg_step *step);

/* The parameter vector, param_bytes each way; setting it refreshes the shadow. */
FG_VIRTUAL_API void fg_virtual_get_params(const void *memory, uint8_t *params);
FG_VIRTUAL_API int32_t fg_virtual_set_params(void *memory, const uint8_t *params);

#ifdef __cplusplus
}
#endif

#endif
