/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fleetgrad/fg_transfer.h"

void fg_receiver_start(fg_receiver *receiver, uint16_t transfer, uint8_t *destination,
                       uint32_t total) {
    receiver->destination = destination;
    receiver->total = total;
    receiver->next_offset = 0;
    receiver->stray = 0;
    receiver->ahead = 0;
    receiver->ahead_end = 0;
    receiver->seen = 0;
    receiver->transfer = transfer;
    receiver->unacknowledged = 0;
    receiver->strayed = false;
}

/* The chunk is a duplicate, or bytes before it are missing: tell where we are, but only once while
 * the sender goes through its window, and again when it has gone back. */
static bool answer_stray(fg_receiver *receiver, uint32_t offset) {
    const bool answer = !receiver->strayed || offset <= receiver->stray;
    receiver->strayed = true;
    receiver->stray = offset;
    return answer;
}

/* Keeps what is behind a gap, where it is the first there or goes on with what is kept. */
static void keep(fg_receiver *receiver, const fg_msg_chunk *chunk, uint32_t end) {
    uint32_t from = chunk->offset;
    if (receiver->ahead == receiver->ahead_end) {
        receiver->ahead = from;
    } else if (receiver->ahead <= from && from <= receiver->ahead_end &&
               receiver->ahead_end < end) {
        from = receiver->ahead_end;
    } else {
        return;
    }
    memcpy(receiver->destination + from, chunk->data + (from - chunk->offset), end - from);
    receiver->ahead_end = end;
}

/* Takes what is kept once the gap before it is filled. */
static void join(fg_receiver *receiver) {
    if (receiver->ahead < receiver->ahead_end && receiver->ahead <= receiver->next_offset) {
        if (receiver->ahead_end > receiver->next_offset) {
            receiver->next_offset = receiver->ahead_end;
        }
        receiver->ahead = receiver->ahead_end;
    }
}

fg_status fg_receiver_accept(fg_receiver *receiver, const fg_msg_chunk *chunk, uint32_t *todo) {
    *todo = 0;
    if (chunk->transfer != receiver->transfer) {
        return FG_ERR_STATE;
    }
    if (chunk->offset > receiver->total || chunk->data_bytes > receiver->total - chunk->offset) {
        return FG_ERR_SIZE;
    }
    const uint32_t end = chunk->offset + (uint32_t)chunk->data_bytes;
    if (chunk->offset <= receiver->next_offset && end > receiver->next_offset) {
        /* The sender may cut the blob differently after a loss: the head may be known already. */
        const uint32_t known = receiver->next_offset - chunk->offset;
        memcpy(receiver->destination + receiver->next_offset, chunk->data + known,
               end - receiver->next_offset);
        /* Behind what it has sent already the sender waits for word on every chunk. */
        const bool behind = receiver->next_offset < receiver->seen;
        receiver->next_offset = end;
        join(receiver);
        receiver->strayed = false;
        receiver->unacknowledged++;
        if (fg_receiver_complete(receiver)) {
            *todo = FG_RECEIVER_ACK | FG_RECEIVER_COMPLETE;
        } else if (behind || receiver->unacknowledged == FG_TRANSFER_WINDOW) {
            *todo = FG_RECEIVER_ACK;
        }
    } else {
        if (chunk->offset > receiver->next_offset) {
            keep(receiver, chunk, end);
        }
        if (answer_stray(receiver, chunk->offset)) {
            *todo = FG_RECEIVER_ACK;
        }
    }
    if (end > receiver->seen) {
        receiver->seen = end;
    }
    if (*todo != 0U) {
        receiver->unacknowledged = 0;
    }
    return FG_OK;
}

fg_msg_ack fg_receiver_ack(const fg_receiver *receiver) {
    const fg_msg_ack ack = {.transfer = receiver->transfer, .next_offset = receiver->next_offset};
    return ack;
}
