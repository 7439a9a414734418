/* SPDX-License-Identifier: Apache-2.0 */
#include "fleetgrad/fg_mqtt.h"

#include <string.h>

#include "fleetgrad/fg_wire.h"

static bool is_a_name(const char *fleet, size_t length) {
    if (length == 0U || length > FG_MQTT_FLEET_BYTES) {
        return false;
    }
    for (size_t i = 0U; i < length; i++) {
        if (fleet[i] == '/' || fleet[i] == '+' || fleet[i] == '#') {
            return false;
        }
    }
    return true;
}

static size_t put(char *topic, size_t at, const char *text, size_t length) {
    memcpy(topic + at, text, length);
    return at + length;
}

/* fg/1/<fleet>/<last byte of the id>/<id>/<leaf>, the numbers in hexadecimal. */
static void make_topic(char *topic, const char *fleet, size_t fleet_length, uint64_t device,
                       const char *leaf, size_t leaf_length) {
    static const char digits[] = "0123456789abcdef";
    size_t at = put(topic, 0U, "fg/1/", 5U);
    at = put(topic, at, fleet, fleet_length);
    topic[at++] = '/';
    topic[at++] = digits[(device >> 4) & 15U];
    topic[at++] = digits[device & 15U];
    topic[at++] = '/';
    for (uint32_t shift = 64U; shift > 0U; shift -= 4U) {
        topic[at++] = digits[(device >> (shift - 4U)) & 15U];
    }
    topic[at++] = '/';
    at = put(topic, at, leaf, leaf_length);
    topic[at] = '\0';
}

fg_status fg_mqtt_init(fg_mqtt *mqtt, const fg_mqtt_client *client, const char *fleet,
                       uint64_t device) {
    size_t length = 0U;
    while (length <= FG_MQTT_FLEET_BYTES && fleet[length] != '\0') {
        length++;
    }
    if (!is_a_name(fleet, length)) {
        return FG_ERR_ARGUMENT;
    }
    memset(mqtt, 0, sizeof *mqtt);
    mqtt->client = client;
    make_topic(mqtt->up, fleet, length, device, "up", 2U);
    make_topic(mqtt->down, fleet, length, device, "dn", 2U);
    make_topic(mqtt->presence, fleet, length, device, "presence", 8U);
    return FG_OK;
}

static bool publish_presence(fg_mqtt *mqtt) {
    return mqtt->hello_bytes == 0U || mqtt->client->publish(mqtt->client->context, mqtt->presence,
                                                            mqtt->hello, mqtt->hello_bytes, true);
}

bool fg_mqtt_connected(fg_mqtt *mqtt) {
    return mqtt->client->subscribe(mqtt->client->context, mqtt->down) && publish_presence(mqtt);
}

/* Sends the record that is complete. The first one is the HELLO that every boot begins with: it is
 * who the device is, and what its presence says. */
static bool publish_record(fg_mqtt *mqtt) {
    if (mqtt->hello_bytes == 0U) {
        memcpy(mqtt->hello, mqtt->record, mqtt->used);
        mqtt->hello_bytes = mqtt->used;
        if (!publish_presence(mqtt)) {
            mqtt->hello_bytes = 0U;
            return false;
        }
    }
    return mqtt->client->publish(mqtt->client->context, mqtt->up, mqtt->record, mqtt->used, false);
}

size_t fg_mqtt_write(fg_mqtt *mqtt, const uint8_t *bytes, size_t count) {
    size_t taken = 0U;
    while (mqtt->complete || taken < count) {
        if (mqtt->complete) {
            if (!publish_record(mqtt)) {
                break;
            }
            mqtt->complete = false;
            mqtt->used = 0U;
            continue;
        }
        const uint8_t byte = bytes[taken++];
        const bool delimiter = byte == FG_FRAME_DELIMITER;
        if (mqtt->used == FG_MQTT_RECORD_BYTES) {
            mqtt->skip = true;
        }
        if (!mqtt->skip) {
            mqtt->record[mqtt->used++] = byte;
        }
        if (delimiter) {
            /* A delimiter alone only separates; a frame that was dropped is sent again in pieces.
             */
            mqtt->complete = !mqtt->skip && mqtt->used > 1U;
            mqtt->used = mqtt->complete ? mqtt->used : 0U;
            mqtt->skip = false;
        }
    }
    return taken;
}
