/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_IMAGE_H
#define FG_IMAGE_H

/* The data image: one device's private samples, written into its flash once and never sent
 * anywhere. SPEC.md, chapter "Data image", has every byte. Read in place: nothing is copied. */

#include <stddef.h>
#include <stdint.h>

#include "fleetgrad/fg_status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FG_IMAGE_MAGIC        0x49444746U /* "FGDI" */
#define FG_IMAGE_VERSION      1U
#define FG_IMAGE_HEADER_BYTES 64U

typedef enum fg_target_kind {
    FG_TARGET_LABEL = 1,  /* a class, in one or two bytes */
    FG_TARGET_VECTOR = 2, /* target_bytes values in the quantisation of the model's output */
    FG_TARGET_INPUT = 3   /* the sample itself: an autoencoder; target_bytes is 0 */
} fg_target_kind;

/* One part of the samples: for training, or held out. */
typedef struct fg_samples {
    const uint8_t *inputs;  /* count * sample_bytes */
    const uint8_t *targets; /* count * target_bytes */
    uint32_t count;
} fg_samples;

typedef struct fg_image {
    uint64_t device_id;
    uint32_t boot_base; /* what a board without memory of its own adds its restarts to */
    uint32_t sample_bytes;
    uint32_t target_bytes;
    fg_target_kind target_kind;
    uint32_t payload_crc; /* tells these samples from others */
    uint8_t input_tag[8]; /* what the samples were quantised for; zeros: not said */
    fg_samples train;
    fg_samples eval;
} fg_image;

/* Checks header and payload; `bytes` may be longer than the image, as a flash region is.
 * FG_ERR_SIZE: cut off, or sizes beyond 32 bits; FG_ERR_FORMAT: no data image, or fields that
 * contradict each other; FG_ERR_VERSION; FG_ERR_CRC: damaged. After an error there are no samples,
 * but device_id is right whenever the header is intact (else 0): a device with a damaged image can
 * still say who it is. */
fg_status fg_image_open(fg_image *image, const uint8_t *bytes, size_t count) FG_MUST_CHECK;

/* boot_base alone, without looking at the payload; 0 when there is no intact header. */
uint32_t fg_image_boot_base(const uint8_t *bytes, size_t count);

/* The label of sample `index` < samples->count of an image whose targets are labels. */
uint32_t fg_image_label(const fg_image *image, const fg_samples *samples, uint32_t index);

#ifdef __cplusplus
}
#endif

#endif
