/* SPDX-License-Identifier: Apache-2.0 */
#include "fleetgrad/fg_transfer.h"

/* Two losses within so many chunks mean that shorter frames will do better; so many chunks without
 * any mean that longer ones will. A line that drops 1 % of all frames stays at full length. */
#define LOSS_DISTANCE 16U
#define CLEAN_RUN     32U

#define CHUNK_OVERHEAD FG_MSG_CHUNK_FIXED_BYTES

void fg_sender_start(fg_sender *sender, uint16_t transfer, uint32_t total, uint16_t payload_max) {
    sender->total = total;
    sender->deadline_ms = 0;
    sender->transfer = transfer;
    sender->payload_max =
        payload_max < FG_WIRE_PAYLOAD_MIN ? (uint16_t)FG_WIRE_PAYLOAD_MIN : payload_max;
    sender->payload = sender->payload_max;
    sender->clean = LOSS_DISTANCE;
    fg_sender_resume(sender, 0);
}

void fg_sender_resume(fg_sender *sender, uint32_t next_offset) {
    sender->base = next_offset < sender->total ? next_offset : sender->total;
    sender->next = sender->base;
    sender->timeouts = 0;
    sender->rewound = false;
}

static uint32_t chunk_bytes(const fg_sender *sender) {
    return (uint32_t)sender->payload - CHUNK_OVERHEAD;
}

static bool window_open(const fg_sender *sender) {
    return sender->next < sender->total &&
           sender->next - sender->base < FG_TRANSFER_WINDOW * chunk_bytes(sender);
}

/* Milliseconds until what is in flight counts as lost. */
static uint32_t time_left(const fg_sender *sender, uint32_t now_ms) {
    const uint32_t left = sender->deadline_ms - now_ms;
    return left > FG_TRANSFER_TIMEOUT_MAX_MS ? 0U : left; /* more than that is a past deadline */
}

/* Something in flight was lost: go back, and shorten the chunks if that happens often. */
static void go_back(fg_sender *sender) {
    sender->next = sender->base;
    if (sender->clean < LOSS_DISTANCE) {
        const uint16_t half = sender->payload / 2U;
        sender->payload = half < FG_WIRE_PAYLOAD_MIN ? (uint16_t)FG_WIRE_PAYLOAD_MIN : half;
    }
    sender->clean = 0;
}

static void lengthen(fg_sender *sender) {
    const uint32_t twice = 2U * (uint32_t)sender->payload;
    sender->payload = twice > sender->payload_max ? sender->payload_max : (uint16_t)twice;
    sender->clean = LOSS_DISTANCE;
}

bool fg_sender_poll(fg_sender *sender, uint32_t now_ms, fg_slice *slice) {
    if (sender->next > sender->base && time_left(sender, now_ms) == 0U) {
        if (sender->timeouts < UINT8_MAX) {
            sender->timeouts++;
        }
        sender->rewound = false;
        go_back(sender);
    }
    if (!window_open(sender)) {
        return false;
    }
    const uint32_t rest = sender->total - sender->next;
    const uint32_t most = chunk_bytes(sender);
    slice->offset = sender->next;
    slice->count = (uint16_t)(rest < most ? rest : most);
    sender->next += slice->count;
    sender->deadline_ms =
        now_ms + (sender->timeouts < 3U ? FG_TRANSFER_TIMEOUT_MS << sender->timeouts
                                        : FG_TRANSFER_TIMEOUT_MAX_MS);
    return true;
}

fg_status fg_sender_acknowledge(fg_sender *sender, const fg_msg_ack *ack) {
    if (ack->transfer != sender->transfer) {
        return FG_ERR_STATE;
    }
    if (ack->next_offset > sender->total) {
        return FG_ERR_SIZE;
    }
    if (ack->next_offset < sender->base) {
        /* Old news, unless nothing else has come for a whole timeout: then the receiver has started
         * again and really holds no more than this. */
        if (sender->timeouts > 0U) {
            fg_sender_resume(sender, ack->next_offset);
        }
        return FG_OK;
    }
    if (ack->next_offset > sender->base) {
        const uint32_t most = chunk_bytes(sender);
        const uint32_t chunks = (ack->next_offset - sender->base + most - 1U) / most;
        const uint32_t clean = sender->clean + chunks;
        sender->clean = clean > UINT8_MAX ? UINT8_MAX : (uint8_t)clean;
        sender->base = ack->next_offset;
        sender->timeouts = 0;
        sender->rewound = false;
    }
    if (sender->next <= sender->base) {
        sender->next = sender->base;
        if (sender->clean >= CLEAN_RUN) {
            lengthen(sender);
        }
    } else if (!sender->rewound) {
        /* The receiver acknowledges a window when it is full, so one that acknowledges less than
         * what is in flight has seen a gap. Repetitions of the same news do not count again. */
        sender->rewound = true;
        go_back(sender);
    }
    return FG_OK;
}

uint32_t fg_sender_wait(const fg_sender *sender, uint32_t now_ms) {
    if (fg_sender_done(sender)) {
        return UINT32_MAX;
    }
    return window_open(sender) ? 0U : time_left(sender, now_ms);
}
