/* SPDX-License-Identifier: Apache-2.0 */
#include "fleetgrad/fg_image.h"

#include <stdbool.h>
#include <string.h>

#include "fleetgrad/fg_bytes.h"
#include "fleetgrad/fg_wire.h"

enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_HEADER_BYTES = 6,
    AT_DEVICE_ID = 8,
    AT_BOOT_BASE = 16,
    AT_SAMPLE_BYTES = 20,
    AT_TARGET_BYTES = 24,
    AT_TARGET_KIND = 28,
    AT_TRAIN_COUNT = 32,
    AT_EVAL_COUNT = 36,
    AT_INPUT_TAG = 40,
    AT_PAYLOAD_CRC = 48,
    AT_HEADER_CRC = 60
};

static fg_status check_header(const uint8_t *bytes, size_t count) {
    if (bytes == NULL || count < FG_IMAGE_HEADER_BYTES) {
        return FG_ERR_SIZE;
    }
    if (fg_load_u32(bytes + AT_MAGIC) != FG_IMAGE_MAGIC) {
        return FG_ERR_FORMAT;
    }
    if (fg_crc32(0U, bytes, AT_HEADER_CRC) != fg_load_u32(bytes + AT_HEADER_CRC)) {
        return FG_ERR_CRC;
    }
    if (fg_load_u16(bytes + AT_VERSION) != FG_IMAGE_VERSION ||
        fg_load_u16(bytes + AT_HEADER_BYTES) != FG_IMAGE_HEADER_BYTES) {
        return FG_ERR_VERSION;
    }
    return FG_OK;
}

static bool target_size_fits(uint8_t kind, uint32_t target_bytes) {
    switch (kind) {
    case FG_TARGET_LABEL:
        return target_bytes == 1U || target_bytes == 2U;
    case FG_TARGET_VECTOR:
        return target_bytes > 0U;
    case FG_TARGET_INPUT:
        return target_bytes == 0U;
    default:
        return false;
    }
}

/* Takes `items` * `item_bytes` bytes off what is left; false when there are not so many. The
 * division cannot overflow where the product could. */
static bool take(size_t *left, uint32_t items, uint32_t item_bytes) {
    if (item_bytes != 0U && items > *left / item_bytes) {
        return false;
    }
    *left -= (size_t)items * item_bytes;
    return true;
}

fg_status fg_image_open(fg_image *image, const uint8_t *bytes, size_t count) {
    memset(image, 0, sizeof *image);
    image->target_kind = FG_TARGET_LABEL;
    fg_status status = check_header(bytes, count);
    if (status != FG_OK) {
        return status;
    }
    image->device_id = fg_load_u64(bytes + AT_DEVICE_ID);
    image->boot_base = fg_load_u32(bytes + AT_BOOT_BASE);
    image->sample_bytes = fg_load_u32(bytes + AT_SAMPLE_BYTES);
    image->target_bytes = fg_load_u32(bytes + AT_TARGET_BYTES);
    memcpy(image->input_tag, bytes + AT_INPUT_TAG, sizeof image->input_tag);
    const uint8_t kind = bytes[AT_TARGET_KIND];
    if (image->sample_bytes == 0U || !target_size_fits(kind, image->target_bytes)) {
        return FG_ERR_FORMAT;
    }
    image->target_kind = (fg_target_kind)kind;

    const uint32_t train = fg_load_u32(bytes + AT_TRAIN_COUNT);
    const uint32_t eval = fg_load_u32(bytes + AT_EVAL_COUNT);
    const size_t available = count - FG_IMAGE_HEADER_BYTES;
    size_t left = available;
    if (!take(&left, train, image->sample_bytes) || !take(&left, train, image->target_bytes) ||
        !take(&left, eval, image->sample_bytes) || !take(&left, eval, image->target_bytes)) {
        return FG_ERR_SIZE;
    }
    const uint8_t *payload = bytes + FG_IMAGE_HEADER_BYTES;
    image->payload_crc = fg_load_u32(bytes + AT_PAYLOAD_CRC);
    if (fg_crc32(0U, payload, available - left) != image->payload_crc) {
        return FG_ERR_CRC;
    }

    image->train.inputs = payload;
    image->train.targets = payload + (size_t)train * image->sample_bytes;
    image->train.count = train;
    payload = image->train.targets + (size_t)train * image->target_bytes;
    image->eval.inputs = payload;
    image->eval.targets = payload + (size_t)eval * image->sample_bytes;
    image->eval.count = eval;
    return FG_OK;
}

uint32_t fg_image_boot_base(const uint8_t *bytes, size_t count) {
    return check_header(bytes, count) == FG_OK ? fg_load_u32(bytes + AT_BOOT_BASE) : 0U;
}

uint32_t fg_image_label(const fg_image *image, const fg_samples *samples, uint32_t index) {
    const uint8_t *target = samples->targets + (size_t)index * image->target_bytes;
    return image->target_bytes == 1U ? target[0] : fg_load_u16(target);
}
