/* SPDX-License-Identifier: Apache-2.0 */
#include "fleetgrad/fg_transfer.h"

/* Two losses within so many chunks mean that shorter frames will do better; so many chunks without
 * any mean that longer ones will. A line that drops 1 % of all frames stays at full length. */
#define LOSS_DISTANCE 4U
#define CLEAN_RUN     16U

/* How long to wait: so many times what answers have taken. */
#define PATIENCE 4U

#define CHUNK_OVERHEAD FG_MSG_CHUNK_FIXED_BYTES

void fg_sender_start(fg_sender *sender, uint16_t transfer, uint32_t total, uint16_t payload_max) {
    sender->total = total;
    sender->deadline_ms = 0;
    sender->sent_ms = 0;
    sender->answer_ms = FG_TRANSFER_TIMEOUT_MS / PATIENCE;
    sender->answered = false;
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
    sender->behind = false;
    sender->again = false;
}

static uint32_t chunk_bytes(const fg_sender *sender) {
    return (uint32_t)sender->payload - CHUNK_OVERHEAD;
}

static bool window_open(const fg_sender *sender) {
    return !sender->behind && sender->next < sender->total &&
           sender->next - sender->base < FG_TRANSFER_WINDOW * chunk_bytes(sender);
}

/* Milliseconds until what is in flight counts as lost. */
static uint32_t time_left(const fg_sender *sender, uint32_t now_ms) {
    const uint32_t left = sender->deadline_ms - now_ms;
    return left > FG_TRANSFER_TIMEOUT_MAX_MS ? 0U : left; /* more than that is a past deadline */
}

/* Something in flight was lost, first of all what comes next; shorten the chunks if that happens
 * often. */
static void lose(fg_sender *sender) {
    sender->behind = true;
    sender->again = true;
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

/* A longer answer counts at once, a shorter one little by little. */
static void measure(fg_sender *sender, uint32_t now_ms) {
    const uint32_t passed = now_ms - sender->sent_ms;
    const uint32_t took = passed < FG_TRANSFER_TIMEOUT_MS ? passed : FG_TRANSFER_TIMEOUT_MS;
    const uint32_t known = sender->answer_ms;
    sender->answer_ms = (uint16_t)(took >= known ? took : known - (known - took + 7U) / 8U);
}

/* Milliseconds of silence until a chunk that is sent now counts as lost. */
static uint32_t patience(const fg_sender *sender) {
    uint32_t wait = PATIENCE * (uint32_t)sender->answer_ms;
    wait = wait < FG_TRANSFER_TIMEOUT_MIN_MS ? FG_TRANSFER_TIMEOUT_MIN_MS : wait;
    wait = wait > FG_TRANSFER_TIMEOUT_MS ? FG_TRANSFER_TIMEOUT_MS : wait;
    wait <<= sender->timeouts < 7U ? sender->timeouts : 7U;
    return wait < FG_TRANSFER_TIMEOUT_MAX_MS ? wait : FG_TRANSFER_TIMEOUT_MAX_MS;
}

bool fg_sender_poll(fg_sender *sender, uint32_t now_ms, fg_slice *slice) {
    if (sender->answered) {
        sender->answered = false;
        measure(sender, now_ms);
    }
    if (sender->next > sender->base && time_left(sender, now_ms) == 0U) {
        if (sender->timeouts < UINT8_MAX) {
            sender->timeouts++;
        }
        sender->rewound = false;
        lose(sender);
    }
    if (!sender->again && !window_open(sender)) {
        return false;
    }
    const uint32_t start = sender->again ? sender->base : sender->next;
    const uint32_t rest = sender->total - start;
    const uint32_t most = chunk_bytes(sender);
    sender->again = false;
    slice->offset = start;
    slice->count = (uint16_t)(rest < most ? rest : most);
    if (start + slice->count > sender->next) {
        sender->next = start + slice->count;
    }
    sender->sent_ms = now_ms;
    sender->deadline_ms = now_ms + patience(sender);
    return true;
}

fg_status fg_sender_acknowledge(fg_sender *sender, const fg_msg_ack *ack) {
    if (ack->transfer != sender->transfer) {
        return FG_ERR_STATE;
    }
    if (ack->next_offset > sender->total) {
        return FG_ERR_SIZE;
    }
    /* After a timeout nobody knows which of two chunks is answered. */
    sender->answered = sender->next > sender->base && sender->timeouts == 0U;
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
        sender->behind = false;
        sender->again = false;
        if (sender->clean >= CLEAN_RUN) {
            lengthen(sender);
        }
    } else if (!sender->rewound) {
        /* The receiver acknowledges a window when it is full, so one that acknowledges less than
         * what is in flight has seen a gap. Repetitions of the same news do not count again. */
        sender->rewound = true;
        lose(sender);
    }
    return FG_OK;
}

uint32_t fg_sender_wait(const fg_sender *sender, uint32_t now_ms) {
    if (fg_sender_done(sender)) {
        return UINT32_MAX;
    }
    return sender->again || window_open(sender) ? 0U : time_left(sender, now_ms);
}
