/* SPDX-License-Identifier: MIT */
/*
 * Who comes first waits, linked, and says in its record where its message is or is to go. Who
 * comes second transfers the message under the lock, whichever way it goes, and marks the record of
 * who waits. So at any time those who wait, and are not marked, are all of one side.
 *
 * The mark is the commit. A handle is in two places around it; the record of who transfers knows
 * its partner, and its drop looks at the mark:
 *
 *      not marked (undone)                marked (finished)
 *      the receiver's slot is emptied     the sender's slot is emptied, the partner is woken
 *
 * Who waits leaves the list by itself, under the lock, so both records exist as long as somebody
 * may look at them.
 */
#include "rendezvous.h"

#include "freestanding.h"
#include "heap_block.h"

CELL(library, "1.0.0");

struct rendezvous {
    struct channel channel; /* first: the block is freed by its address */
    uint64_t size;          /* of a message */
};

enum form {
    FORM_WORD,
    FORM_BYTES,
    FORM_OWNED,
};

static inline struct rendezvous *of(const struct channel *channel)
{
    return CONTAINER_OF(channel, struct rendezvous, channel);
}

/* The oldest that waits on this side and has not been served; NULL: nobody. */
static inline struct channel_operation *find_partner(const struct channel *channel,
                                                     enum channel_side side)
{
    struct channel_operation *waiter = channel->waiting[side].first;
    while (waiter && waiter->is_taken) {
        waiter = waiter->next;
    }
    return waiter;
}

/* Under the lock: a task that it wakes does not go away before it has the lock. */
static inline void finish_transfer(struct channel_operation *operation)
{
    parking_unpark(operation->partner->task);
    COMPILER_BARRIER();
    operation->partner = NULL;
    COMPILER_BARRIER();
}

static inline void transfer(struct channel_operation *operation, struct channel_operation *partner,
                            enum form form)
{
    const struct rendezvous *rendezvous = of(operation->channel);
    void **from = operation->is_sending ? operation->slot : partner->slot;
    void **to = operation->is_sending ? partner->slot : operation->slot;
    operation->partner = partner;
    COMPILER_BARRIER();
    if (form == FORM_WORD) {
        *(uint64_t *)to = *(uint64_t *)from;
    } else if (form == FORM_BYTES) {
        memcpy(to, from, rendezvous->size);
    } else {
        OWN_DEMAND_(!*to);
        channel_set_handle(to, *from);
    }
    COMPILER_BARRIER();
    partner->is_taken = true;
    COMPILER_BARRIER();
    if (form == FORM_OWNED) {
        channel_set_handle(from, NULL);
    }
    finish_transfer(operation);
}

/* ---- what channel.h asks for ---- */

static void settle(struct channel_operation *operation)
{
    struct channel_operation *partner = operation->partner;
    if (!partner) {
        return;
    }
    if (operation->channel->drop) {
        channel_set_handle(
            partner->is_taken == operation->is_sending ? operation->slot : partner->slot, NULL);
    }
    if (partner->is_taken) {
        finish_transfer(operation);
    }
    operation->partner = NULL;
}

/* A partner that is killed was waited for by nobody. */
static bool is_ready(const struct channel *channel, enum channel_side side)
{
    (void)channel;
    (void)side;
    return false;
}

static bool take_rest(struct channel_operation *operation)
{
    (void)operation;
    return false;
}

static const struct channel_kind kind = {
    .name = "rendezvous",
    .settle = settle,
    .is_ready = is_ready,
    .take_rest = take_rest,
};

/* ---- sending and receiving ---- */

static inline enum channel_side other(enum channel_side side)
{
    return side == CHANNEL_SENDERS ? CHANNEL_RECEIVERS : CHANNEL_SENDERS;
}

/* The lock is held, here and when it returns; OK: the message is transferred. */
static inline enum status meet(struct channel_operation *operation, enum channel_side side,
                               enum form form, uint64_t deadline)
{
    struct channel *channel = operation->channel;
    struct channel_operation *partner = find_partner(channel, other(side));
    if (partner) {
        transfer(operation, partner, form);
        return OK;
    }
    enum status status = OK;
    while (!operation->is_taken) {
        if (channel_is_closed(channel, other(side))) {
            return ERR_CLOSED;
        }
        if (status != OK) {
            return status;
        }
        status = channel_wait(operation, side, deadline);
    }
    return OK;
}

/* `slot` is where the message is, or is to go: a word, bytes, or a handle. */
__attribute__((always_inline)) static inline enum status exchange(struct channel_end *end,
                                                                  enum channel_side side,
                                                                  enum form form, void *slot,
                                                                  uint64_t deadline)
{
    struct channel *channel = end->channel;
    struct channel_operation record;
    channel_begin(&record, channel);
    record.has_notes = true;
    record.is_sending = side == CHANNEL_SENDERS;
    record.slot = slot;
    record.end = NULL;
    record.clone = NULL;
    record.message = NULL;
    record.partner = NULL;
    OWN_BEGIN(channel_operation, operation, &record);
    channel_lock_of(channel, &record);
    enum status status = meet(&record, side, form, deadline);
    channel_leave(&record);
    channel_unlock_of(channel);
    OWN_END(operation);
    return status;
}

enum status rendezvous_send_word(struct channel_end *end, uint64_t word, uint64_t deadline)
{
    return exchange(end, CHANNEL_SENDERS, FORM_WORD, &word, deadline);
}

enum status rendezvous_send_bytes(struct channel_end *end, const void *message, uint64_t deadline)
{
    return exchange(end, CHANNEL_SENDERS, FORM_BYTES, (void *)message, deadline);
}

enum status rendezvous_send_owned(struct channel_end *end, void **message, uint64_t deadline)
{
    return exchange(end, CHANNEL_SENDERS, FORM_OWNED, message, deadline);
}

enum status rendezvous_receive_word(struct channel_end *end, uint64_t *out_word, uint64_t deadline)
{
    return exchange(end, CHANNEL_RECEIVERS, FORM_WORD, out_word, deadline);
}

enum status rendezvous_receive_bytes(struct channel_end *end, void *out_message, uint64_t deadline)
{
    return exchange(end, CHANNEL_RECEIVERS, FORM_BYTES, out_message, deadline);
}

enum status rendezvous_receive_owned(struct channel_end *end, void **out, uint64_t deadline)
{
    return exchange(end, CHANNEL_RECEIVERS, FORM_OWNED, out, deadline);
}

enum status rendezvous_create(size_t size, channel_drop_t drop, struct channel_end **sender,
                              struct channel_end **receiver) OWN_UNCHECKED
{
    if (size > RENDEZVOUS_MESSAGE_SIZE_MAX) {
        return ERR_INVALID_ARGUMENT;
    }
    OWNED(heap_block, block);
    if (!heap_block_take(sizeof(struct rendezvous), SLOT(block))) {
        return ERR_NO_MEMORY;
    }
    struct rendezvous *rendezvous = heap_block_of(*SLOT(block));
    rendezvous->size = size;
    channel_init(&rendezvous->channel, &kind, drop, SLOT(block), sender, receiver);
    return OK;
}
