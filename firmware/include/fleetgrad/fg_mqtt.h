/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_MQTT_H
#define FG_MQTT_H

/* A node behind an MQTT broker: its frames as records on topics of its own. The client is the
 * port's (esp-mqtt, lwIP's, libmosquitto); it comes in as two callbacks. SPEC.md, chapter "MQTT".
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fleetgrad/fg_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The longest record: one whole frame, or several, delimiters included. By default what small
 * clients' buffers take without being configured. FG_NODE_PAYLOAD_MAX must suit it: 224 for 256. */
#ifndef FG_MQTT_RECORD_BYTES
#define FG_MQTT_RECORD_BYTES 256U
#endif

/* The longest name of a fleet, and the longest topic with its end of string. */
#define FG_MQTT_FLEET_BYTES 64U
#define FG_MQTT_TOPIC_BYTES 128U

typedef struct fg_mqtt_client {
    void *context; /* the port's own */
    /* Sends one record, at least once (QoS 1); false when the client takes nothing now. The bytes
     * are copied. */
    bool (*publish)(void *context, const char *topic, const uint8_t *bytes, size_t count,
                    bool retain);
    /* Wants every record of a topic, at least once (QoS 1). */
    bool (*subscribe)(void *context, const char *topic);
} fg_mqtt_client;

typedef struct fg_mqtt {
    const fg_mqtt_client *client;
    char up[FG_MQTT_TOPIC_BYTES];       /* this side's records */
    char down[FG_MQTT_TOPIC_BYTES];     /* the host's */
    char presence[FG_MQTT_TOPIC_BYTES]; /* retained: HELLO while it is there, nothing when not */
    uint8_t hello[FG_MQTT_RECORD_BYTES];
    uint8_t record[FG_MQTT_RECORD_BYTES];
    uint16_t hello_bytes;
    uint16_t used;
    bool complete; /* `record` waits for the client to take it */
    bool skip;     /* a frame that is too long for a record: dropped up to its delimiter */
} fg_mqtt;

/* Topics of a device of a fleet. FG_ERR_ARGUMENT: a name that is empty, too long, or holds one of
 * the characters / + #. */
FG_MUST_CHECK fg_status fg_mqtt_init(fg_mqtt *mqtt, const fg_mqtt_client *client, const char *fleet,
                                     uint64_t device);

/* Whenever the client has connected: subscribes, and says that the device is there. The client's
 * will must be an empty retained record on `presence`. False: call it again. */
FG_MUST_CHECK bool fg_mqtt_connected(fg_mqtt *mqtt);

/* Takes bytes of the node's stream, up to the end of a frame; returns how many. A frame that is
 * complete is published; while the client takes nothing, nothing is taken here. */
size_t fg_mqtt_write(fg_mqtt *mqtt, const uint8_t *bytes, size_t count);

#ifdef __cplusplus
}
#endif

#endif
