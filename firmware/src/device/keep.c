/* SPDX-License-Identifier: Apache-2.0 */
#include "keep.h"

#include <string.h>

#include "session.h"

#if FG_NODE_FLASH

/* The record: whose update it is, from which samples, the terms of its round, the update. */
#define TAG_UPDATE   0x44505546U /* "FUPD" */
#define AT_SAMPLES   8U
#define AT_TERMS     12U
#define UPDATE_START (AT_TERMS + FG_MSG_ROUND_OPEN_BYTES)

/* The first piece of the journal: the same head, and how worn the store is. */
#define AT_ERASES (AT_TERMS + FG_MSG_ROUND_OPEN_BYTES)

_Static_assert(AT_ERASES + 4U <= FG_JOURNAL_DATA_BYTES, "the head of a journal is one piece");

/* Bytes of the update per call: on the stack. */
#define PIECE_BYTES 64U

static void pack_head(const fg_node *node, uint8_t *head) {
    fg_store_u64(head, node->image.device_id);
    fg_store_u32(head + AT_SAMPLES, node->image.payload_crc);
    fg_session_pack_terms(head + AT_TERMS, &node->terms);
}

/* Whether a head is of this device, its samples and this model; its terms are the node's then. */
static bool take_head(fg_node *node, const uint8_t *head) {
    const fg_model *model = node->config.model;
    fg_msg_round_open terms;
    if (fg_load_u64(head) != node->image.device_id ||
        fg_load_u32(head + AT_SAMPLES) != node->image.payload_crc ||
        fg_session_unpack_terms(&terms, head + AT_TERMS, FG_MSG_ROUND_OPEN_BYTES) != FG_OK ||
        !fg_same_bytes(terms.model_digest, model->digest, sizeof model->digest) ||
        terms.blob_bytes != model->param_bytes) {
        return false;
    }
    node->terms = terms;
    return true;
}

static bool is_kept(const fg_node *node) {
    return node->keep.works && (node->terms.work & FG_WORK_TRAIN) != 0U;
}

/* --- At boot ------------------------------------------------------------------------------- */

static bool restore_update(fg_node *node) {
    const fg_store *store = &node->keep.store;
    uint8_t head[UPDATE_START];
    uint8_t crc[4];
    if (!store->record.present || store->record.tag != TAG_UPDATE ||
        store->record.bytes < UPDATE_START + sizeof crc ||
        fg_store_read(store, 0U, head, sizeof head) != FG_OK ||
        fg_store_read(store, UPDATE_START, crc, sizeof crc) != FG_OK || !take_head(node, head)) {
        return false;
    }
    const uint32_t total = fg_update_bytes(node->config.model, node->terms.work);
    if (store->record.bytes != UPDATE_START + total) {
        return false;
    }
    node->update.total = total;
    memcpy(node->update.header, crc, sizeof crc);
    fg_receiver_start(&node->receiver, (uint16_t)node->terms.round, node->config.base,
                      node->terms.blob_bytes);
    node->receiver.next_offset = node->terms.blob_bytes;
    fg_sender_start(&node->sender, (uint16_t)node->terms.round, total, node->payload_max);
    node->phase = FG_PHASE_SENDING;
    node->sealed = true;
    node->ready = true;
    node->keep.restored = true;
    return true;
}

static void restore_parameters(fg_node *node) {
    fg_keep *keep = &node->keep;
    uint8_t data[FG_JOURNAL_DATA_BYTES];
    fg_journal_open(&keep->journal, &keep->store);
    if (!fg_journal_next(&keep->journal, &keep->store, data) || !take_head(node, data)) {
        return;
    }
    const uint32_t erases = fg_load_u32(data + AT_ERASES);
    fg_record *record = &keep->store.record;
    record->erases = erases > record->erases ? erases : record->erases;
    fg_receiver_start(&node->receiver, (uint16_t)node->terms.round, node->config.base,
                      node->terms.blob_bytes);
    uint32_t *have = &node->receiver.next_offset;
    while (*have < node->terms.blob_bytes && fg_journal_next(&keep->journal, &keep->store, data)) {
        const uint32_t left = node->terms.blob_bytes - *have;
        const uint32_t count = left < sizeof data ? left : (uint32_t)sizeof data;
        memcpy(node->config.base + *have, data, count);
        *have += count;
    }
    node->blob_crc = fg_crc32(0U, node->config.base, *have);
    if (fg_receiver_complete(&node->receiver) && node->blob_crc != node->terms.blob_crc) {
        return; /* the reset came before the node could say so */
    }
    keep->taken = *have;
    keep->journaling = true;
    node->phase = FG_PHASE_RECEIVING;
}

void fg_keep_open(fg_node *node) {
    fg_keep *keep = &node->keep;
    const fg_flash *flash = node->config.flash;
    const uint32_t most = UPDATE_START + fg_update_bytes(node->config.model, FG_WORK_TRAIN);
    if (flash == NULL || fg_store_open(&keep->store, flash) != FG_OK ||
        fg_store_capacity(flash) < most) {
        return;
    }
    keep->works = true;
    if (!restore_update(node)) {
        restore_parameters(node);
    }
}

/* --- Parameters ---------------------------------------------------------------------------- */

void fg_keep_round(fg_node *node) {
    fg_keep *keep = &node->keep;
    uint8_t head[FG_JOURNAL_DATA_BYTES] = {0};
    fg_keep_release(node);
    if (!is_kept(node)) {
        return;
    }
    fg_status status = fg_journal_begin(&keep->journal, &keep->store);
    if (status == FG_ERR_SIZE) {
        return; /* sectors too small for one: parameters are not kept, updates are */
    }
    pack_head(node, head);
    fg_store_u32(head + AT_ERASES, keep->store.record.erases);
    if (status == FG_OK) {
        status = fg_journal_append(&keep->journal, &keep->store, head);
    }
    keep->taken = 0U;
    keep->works = status == FG_OK;
    keep->journaling = status == FG_OK;
}

void fg_keep_parameters(fg_node *node) {
    fg_keep *keep = &node->keep;
    const fg_receiver *receiver = &node->receiver;
    while (keep->journaling && keep->taken < receiver->next_offset) {
        uint8_t data[FG_JOURNAL_DATA_BYTES] = {0};
        const uint32_t arrived = receiver->next_offset - keep->taken;
        const uint32_t count = arrived < sizeof data ? arrived : (uint32_t)sizeof data;
        if (count < sizeof data && !fg_receiver_complete(receiver)) {
            return;
        }
        memcpy(data, node->config.base + keep->taken, count);
        const fg_status status = fg_journal_append(&keep->journal, &keep->store, data);
        keep->taken += count;
        /* A slot that is full keeps the beginning. */
        keep->journaling = status == FG_OK;
        keep->works = status == FG_OK || status == FG_ERR_SIZE;
    }
}

/* --- The update ---------------------------------------------------------------------------- */

bool fg_keep_update(fg_node *node) {
    fg_keep *keep = &node->keep;
    fg_store *store = &keep->store;
    uint8_t piece[PIECE_BYTES];
    fg_status status = FG_OK;
    if (!is_kept(node)) {
        return true;
    }
    if (!keep->filling) {
        keep->journaling = false; /* its slot is needed */
        keep->filling = true;
        keep->taken = 0U;
        pack_head(node, piece);
        status = fg_store_begin(store, TAG_UPDATE, UPDATE_START + node->update.total);
        if (status == FG_OK) {
            status = fg_store_append(store, piece, UPDATE_START);
        }
    } else if (keep->taken < node->update.total) {
        const uint32_t left = node->update.total - keep->taken;
        const uint32_t count = left < PIECE_BYTES ? left : PIECE_BYTES;
        fg_update_read(&node->update, &node->config, keep->taken, piece, count);
        status = fg_store_append(store, piece, count);
        keep->taken += count;
    } else {
        status = fg_store_commit(store);
        keep->filling = false;
    }
    keep->works = status == FG_OK;
    return !keep->works || !keep->filling;
}

fg_status fg_keep_read(const fg_node *node, uint32_t offset, uint8_t *out, uint32_t count) {
    if (node->keep.restored) {
        return fg_store_read(&node->keep.store, UPDATE_START + offset, out, count);
    }
    fg_update_read(&node->update, &node->config, offset, out, count);
    return FG_OK;
}

void fg_keep_release(fg_node *node) {
    fg_keep *keep = &node->keep;
    keep->journaling = false;
    keep->filling = false;
    keep->restored = false;
    if (keep->works) {
        keep->works = fg_store_spend(&keep->store) == FG_OK;
    }
}

void fg_keep_describe(const fg_node *node, fg_msg_hello *hello) {
    const fg_keep *keep = &node->keep;
    hello->store_bytes = keep->works ? fg_store_capacity(node->config.flash) : 0U;
    hello->store_erases = keep->store.record.erases;
}

#endif
