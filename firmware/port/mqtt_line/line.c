/* SPDX-License-Identifier: Apache-2.0 */

/* A process's line that goes through an MQTT broker, by way of libmosquitto: the records and topics
 * are those of every board (fg_mqtt.h). */

#define _POSIX_C_SOURCE 200809L

#include "line.h"

#include <errno.h>
#include <mosquitto.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleetgrad/fg_image.h"
#include "fleetgrad/fg_mqtt.h"
#include "fleetgrad/fg_node.h"
#include "fleetgrad/fg_port.h"

const char line_usage[] =
    "  --broker HOST:PORT  the line goes through this MQTT broker\n"
    "  --fleet NAME        whose topics to use\n"
    "  --user NAME         for the broker; the password is in FG_MQTT_PASSWORD\n"
    "  --ca FILE           the broker speaks TLS; its certificate's issuer\n"
    "  --cert FILE         this device's own certificate\n"
    "  --key FILE          its key\n"
    "  --psk FILE          TLS by a key that both know: hexadecimal digits; --user is its name\n";

_Static_assert(FG_FRAME_BUFFER_BYTES(FG_NODE_PAYLOAD_MAX) <= FG_MQTT_RECORD_BYTES,
               "a frame of this device fits a record");

#define INBOX_BYTES 65536U
#define KEEPALIVE_S 30
#define PSK_DIGITS  128U
#define WINDOW      8 /* records that the broker has not acknowledged; more wait in the node */

/* One process has one line. */
static struct {
    const char *broker;
    const char *fleet;
    const char *user;
    const char *ca;
    const char *cert;
    const char *key;
    const char *psk;
    struct mosquitto *client;
    fg_mqtt mqtt;
    fg_mqtt_client callbacks;
    int unacknowledged;
    bool connected;
    bool greeted; /* subscribed, and presence published, since the last connection */
    uint32_t retry_at;
    uint8_t inbox[INBOX_BYTES];
    size_t head, used;
} line = {.fleet = "fleet"};

int line_option(int argc, char **argv, int at) {
    static const struct {
        const char *name;
        const char **value;
    } options[] = {{"--broker", &line.broker}, {"--fleet", &line.fleet}, {"--user", &line.user},
                   {"--ca", &line.ca},         {"--cert", &line.cert},   {"--key", &line.key},
                   {"--psk", &line.psk}};
    for (size_t i = 0U; i < sizeof options / sizeof options[0]; i++) {
        if (strcmp(argv[at], options[i].name) == 0 && at + 1 < argc) {
            *options[i].value = argv[at + 1];
            return 2;
        }
    }
    return 0;
}

static bool publish(void *context, const char *topic, const uint8_t *bytes, size_t count,
                    bool retain) {
    (void)context;
    if (!line.connected || line.unacknowledged >= WINDOW) {
        return false;
    }
    if (mosquitto_publish(line.client, NULL, topic, (int)count, bytes, 1, retain) !=
        MOSQ_ERR_SUCCESS) {
        return false;
    }
    line.unacknowledged++;
    return true;
}

static bool subscribe(void *context, const char *topic) {
    (void)context;
    return mosquitto_subscribe(line.client, NULL, topic, 1) == MOSQ_ERR_SUCCESS;
}

static void on_connect(struct mosquitto *client, void *context, int code) {
    (void)client;
    (void)context;
    if (code != 0) {
        errno = 0;
        die(EXIT_LINE, mosquitto_connack_string(code), line.broker);
    }
    line.connected = true;
    line.greeted = false;
    line.unacknowledged = 0;
}

static void on_disconnect(struct mosquitto *client, void *context, int code) {
    (void)client;
    (void)context;
    (void)code;
    line.connected = false;
}

static void on_publish(struct mosquitto *client, void *context, int id) {
    (void)client;
    (void)context;
    (void)id;
    line.unacknowledged -= line.unacknowledged > 0 ? 1 : 0;
}

/* A record that finds no room is lost like one on any line: it is sent again. */
static void on_message(struct mosquitto *client, void *context,
                       const struct mosquitto_message *message) {
    (void)client;
    (void)context;
    const uint8_t *bytes = message->payload;
    if ((size_t)message->payloadlen > INBOX_BYTES - line.used) {
        return;
    }
    for (int i = 0; i < message->payloadlen; i++) {
        line.inbox[(line.head + line.used++) % INBOX_BYTES] = bytes[i];
    }
}

static void check(int code, const char *what) {
    if (code != MOSQ_ERR_SUCCESS) {
        if (code != MOSQ_ERR_ERRNO) {
            errno = 0;
        }
        die(EXIT_USAGE, code == MOSQ_ERR_ERRNO ? what : mosquitto_strerror(code), what);
    }
}

static uint64_t device_id(void) {
    size_t bytes = 0U;
    const uint8_t *image = fg_port_image(&bytes);
    fg_image view;
    if (image == NULL || fg_image_open(&view, image, bytes) != FG_OK) {
        errno = 0;
        die(EXIT_USAGE, "a device on a broker needs a data image, which has its id", "--image");
    }
    return view.device_id;
}

/* Connects, or tries again later. */
static void reach(void) {
    char host[256];
    const char *colon = strrchr(line.broker, ':');
    const size_t length = colon == NULL ? 0U : (size_t)(colon - line.broker);
    if (length == 0U || length >= sizeof host) {
        errno = 0;
        die(EXIT_USAGE, "expected HOST:PORT", line.broker);
    }
    memcpy(host, line.broker, length);
    host[length] = '\0';
    const int port = (int)strtol(colon + 1, NULL, 10);
    (void)mosquitto_connect(line.client, host, port, KEEPALIVE_S);
    line.retry_at = fg_port_millis() + 500U;
}

/* The key's name is the device's id, unless --user says otherwise. */
static void share_key(void) {
    char key[PSK_DIGITS + 2U];
    char name[24];
    FILE *file = fopen(line.psk, "r");
    if (file == NULL || fgets(key, (int)sizeof key, file) == NULL) {
        die(EXIT_USAGE, "there is no key to read", line.psk);
    }
    (void)fclose(file);
    key[strcspn(key, "\r\n")] = '\0';
    (void)snprintf(name, sizeof name, "%016llx", (unsigned long long)device_id());
    check(mosquitto_tls_psk_set(line.client, key, line.user != NULL ? line.user : name, NULL),
          line.psk);
}

void line_open(void) {
    if (line.broker == NULL) {
        errno = 0;
        die(EXIT_USAGE, "there is no broker", "--broker");
    }
    char id[24];
    const uint64_t device = device_id();
    (void)snprintf(id, sizeof id, "fg-%016llx", (unsigned long long)device);
    (void)mosquitto_lib_init();
    line.client = mosquitto_new(id, false, NULL); /* the broker keeps what comes while it is away */
    if (line.client == NULL) {
        die(EXIT_LINE, "cannot make a client", "mosquitto");
    }
    line.callbacks = (fg_mqtt_client){.publish = publish, .subscribe = subscribe};
    if (fg_mqtt_init(&line.mqtt, &line.callbacks, line.fleet, device) != FG_OK) {
        errno = 0;
        die(EXIT_USAGE, "not a name that topics can have", line.fleet);
    }
    check(mosquitto_will_set(line.client, line.mqtt.presence, 0, NULL, 1, true), "will");
    if (line.psk != NULL) {
        share_key();
    } else if (line.user != NULL) {
        check(mosquitto_username_pw_set(line.client, line.user, getenv("FG_MQTT_PASSWORD")),
              "user");
    }
    if (line.ca != NULL) {
        check(mosquitto_tls_set(line.client, line.ca, NULL, line.cert, line.key, NULL), line.ca);
    }
    mosquitto_connect_callback_set(line.client, on_connect);
    mosquitto_disconnect_callback_set(line.client, on_disconnect);
    mosquitto_publish_callback_set(line.client, on_publish);
    mosquitto_message_callback_set(line.client, on_message);
    reach();
}

/* Lets the client work, without waiting longer than that. */
static void work(int milliseconds) {
    const int code = mosquitto_loop(line.client, milliseconds, 16);
    if (code != MOSQ_ERR_SUCCESS) {
        line.connected = false;
        if (milliseconds > 0) { /* nothing waited for us: do not burn the processor */
            (void)poll(NULL, 0, milliseconds < 50 ? milliseconds : 50);
        }
        if ((int32_t)(fg_port_millis() - line.retry_at) >= 0) {
            reach();
        }
    } else if (line.connected && !line.greeted) {
        line.greeted = fg_mqtt_connected(&line.mqtt);
    }
}

size_t line_read(uint8_t *bytes, size_t capacity) {
    size_t count = 0U;
    work(0);
    while (count < capacity && line.used > 0U) {
        bytes[count++] = line.inbox[line.head];
        line.head = (line.head + 1U) % INBOX_BYTES;
        line.used--;
    }
    return count;
}

size_t line_write(const uint8_t *bytes, size_t count) {
    return line.connected ? fg_mqtt_write(&line.mqtt, bytes, count) : 0U;
}

void line_wait(uint32_t milliseconds) {
    work(milliseconds > 1000U ? 1000 : (int)milliseconds);
}
