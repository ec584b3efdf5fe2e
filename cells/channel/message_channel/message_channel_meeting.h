/* SPDX-License-Identifier: MIT */
/*
 * message_channel_meeting.h - the layout and the protocol that all implementations keep.
 *
 * Why: a swap finds calls in the middle: tasks wait in the text of the old implementation, and go on
 * there, on channels that the new one uses already. So what a waiting task has promised, and what it
 * waits for, is fixed here, for all of them; an implementation says only how much of the ring it uses.
 *
 * Rules: a task that waits is linked, and says in its record where its message is or is to go. Who
 * comes second serves it under the lock, whichever way the message goes, marks the record
 * (is_taken) and unparks it. Receivers without a mark wait only while the ring is empty and no
 * sender waits without a mark: so messages stay in order. Who takes a message out of the ring moves
 * the oldest waiting sender's into the room, if the ring is used.
 *
 * While a message is on its way, what moves is noted in `count` of the record, a handle is in two
 * places, and one store is the commit. Before it the destination counts as empty, after it the source;
 * meeting_settle() makes that true, and marks and wakes a partner that was served:
 *
 *      way              from               to                 commit
 *      HAND_OVER        sender's slot      receiver's slot    the mark of the partner
 *      PUT_OWN          own slot           ring               `sent`
 *      PUT_PARTNERS     partner's slot     ring               `sent`
 *      TAKE             ring               own slot           `received`
 */
#pragma once

#include "freestanding.h"
#include "heap_block.h"
#include "message_channel.h"

struct message_channel {
    struct channel channel; /* first: the block is freed by its address */

    /* Under the lock. Message n is in entry n % capacity. */
    uint64_t sent;
    uint64_t received;

    /* Constant. */
    uint64_t capacity;
    uint64_t entry_size;
    uint64_t size; /* of a message */
    uint64_t entries[];
};

static inline struct message_channel *meeting_of(const struct channel *channel)
{
    return CONTAINER_OF(channel, struct message_channel, channel);
}

static inline void *meeting_entry(struct message_channel *meeting, uint64_t position)
{
    return (char *)meeting->entries + position % meeting->capacity * meeting->entry_size;
}

static inline bool meeting_is_empty(const struct message_channel *meeting)
{
    return meeting->sent == meeting->received;
}

/* Is there room, if so much of the ring is used? */
static inline bool meeting_has_room(const struct message_channel *meeting, uint64_t capacity)
{
    return meeting->sent - meeting->received < capacity;
}

/* ---- a message on its way ---- */

enum meeting_way {
    WAY_NONE,
    WAY_HAND_OVER,
    WAY_PUT_OWN,
    WAY_PUT_PARTNERS,
    WAY_TAKE,
};

static inline void meeting_begin(struct channel_operation *operation, enum meeting_way way,
                                 struct channel_operation *partner, uint64_t position)
{
    operation->partner = partner;
    operation->position = position;
    COMPILER_BARRIER();
    operation->count = way;
    COMPILER_BARRIER();
}

static inline void meeting_end(struct channel_operation *operation)
{
    COMPILER_BARRIER();
    operation->count = WAY_NONE;
    COMPILER_BARRIER();
}

static inline void meeting_copy(const struct message_channel *meeting, void *to, const void *from)
{
    if (meeting->size <= sizeof(uint64_t)) {
        *(volatile uint64_t *)to = *(const uint64_t *)from;
    } else {
        memcpy(to, from, meeting->size);
    }
}

/* A place that had, or was to have, a handle. */
static inline void meeting_forget(const struct message_channel *meeting, void **place)
{
    if (meeting->channel.drop) {
        channel_set_handle(place, NULL);
    }
}

static inline void meeting_commit(uint64_t *counter, uint64_t value)
{
    COMPILER_BARRIER();
    *counter = value;
    COMPILER_BARRIER();
}

/* Under the lock: a task that it wakes does not go away before it has the lock. */
static inline void meeting_serve(struct channel_operation *partner)
{
    partner->is_taken = true;
    COMPILER_BARRIER();
    parking_unpark(partner->task);
}

/* From the beginning as often as it takes: it was interrupted, or has come to its end. */
static inline void meeting_settle(struct channel_operation *operation)
{
    if (!operation->slot) {
        return; /* an operation on an end: its `count` is another */
    }
    struct message_channel *meeting = meeting_of(operation->channel);
    struct channel_operation *partner = operation->partner;
    switch ((enum meeting_way)operation->count) {
    case WAY_HAND_OVER:
        meeting_forget(meeting, partner->is_taken == operation->is_sending ? operation->slot
                                                                           : partner->slot);
        if (partner->is_taken) {
            meeting_serve(partner);
        }
        break;
    case WAY_PUT_OWN:
        if (meeting->sent == operation->position) {
            meeting_forget(meeting, operation->slot);
        }
        break;
    case WAY_PUT_PARTNERS:
        if (meeting->sent == operation->position) {
            meeting_forget(meeting, partner->slot);
            meeting_serve(partner);
        }
        break;
    case WAY_TAKE:
        if (meeting->received != operation->position) {
            meeting_forget(meeting, operation->slot);
        }
        break;
    case WAY_NONE:
        break;
    }
    meeting_end(operation);
}

static inline void meeting_hand_over(struct channel_operation *operation,
                                     struct channel_operation *partner)
{
    void **from = operation->is_sending ? operation->slot : partner->slot;
    void **to = operation->is_sending ? partner->slot : operation->slot;
    meeting_begin(operation, WAY_HAND_OVER, partner, 0);
    meeting_copy(meeting_of(operation->channel), to, from);
    COMPILER_BARRIER();
    partner->is_taken = true;
    COMPILER_BARRIER();
    meeting_settle(operation);
}

/* Into the ring, which has room: the own message, or a waiting sender's. */
static inline void meeting_put(struct channel_operation *operation,
                               struct channel_operation *partner)
{
    struct message_channel *meeting = meeting_of(operation->channel);
    uint64_t position = meeting->sent;
    meeting_begin(operation, partner ? WAY_PUT_PARTNERS : WAY_PUT_OWN, partner, position + 1);
    meeting_copy(meeting, meeting_entry(meeting, position),
                 partner ? partner->slot : operation->slot);
    meeting_commit(&meeting->sent, position + 1);
    meeting_settle(operation);
}

/* Out of the ring, which is not empty. */
static inline void meeting_take(struct channel_operation *operation)
{
    struct message_channel *meeting = meeting_of(operation->channel);
    uint64_t position = meeting->received;
    meeting_begin(operation, WAY_TAKE, NULL, position + 1);
    meeting_copy(meeting, operation->slot, meeting_entry(meeting, position));
    meeting_commit(&meeting->received, position + 1);
    meeting_end(operation);
}

/* ---- who waits ---- */

/* The oldest that waits on this side and has not been served; NULL: nobody. */
static inline struct channel_operation *meeting_find(const struct channel *channel,
                                                     enum channel_side side)
{
    struct channel_operation *waiter = channel->waiting[side].first;
    while (waiter && waiter->is_taken) {
        waiter = waiter->next;
    }
    return waiter;
}

/* May the oldest that waits go on by itself? Who should have served it was killed. */
static inline bool meeting_is_ready(const struct channel *channel, enum channel_side side,
                                    uint64_t capacity)
{
    const struct message_channel *meeting = meeting_of(channel);
    return side == CHANNEL_SENDERS
               ? meeting_has_room(meeting, capacity)
               : !meeting_is_empty(meeting) || meeting_find(channel, CHANNEL_SENDERS);
}

static inline bool meeting_take_rest(struct channel_operation *operation)
{
    if (meeting_is_empty(meeting_of(operation->channel))) {
        return false;
    }
    operation->count = WAY_NONE;
    COMPILER_BARRIER();
    operation->slot = &operation->message;
    meeting_take(operation);
    operation->slot = NULL;
    return true;
}

/* ---- sending and receiving: the lock is held, here and when they return ---- */

/* One step of sending; false: it has to wait. */
static inline bool meeting_try_send(struct channel_operation *operation, uint64_t capacity)
{
    struct message_channel *meeting = meeting_of(operation->channel);
    struct channel_operation *receiver = meeting_find(&meeting->channel, CHANNEL_RECEIVERS);
    if (receiver && meeting_is_empty(meeting)) {
        meeting_hand_over(operation, receiver);
        return true;
    }
    if (!meeting_has_room(meeting, capacity)) {
        return false;
    }
    meeting_put(operation, NULL);
    return true;
}

static inline bool meeting_try_receive(struct channel_operation *operation, uint64_t capacity)
{
    struct message_channel *meeting = meeting_of(operation->channel);
    struct channel_operation *sender = meeting_find(&meeting->channel, CHANNEL_SENDERS);
    if (!meeting_is_empty(meeting)) {
        meeting_take(operation);
        if (sender && meeting_has_room(meeting, capacity)) {
            meeting_put(operation, sender);
        }
        return true;
    }
    if (sender) {
        meeting_hand_over(operation, sender);
    }
    return sender != NULL;
}

static inline enum channel_side meeting_other(enum channel_side side)
{
    return side == CHANNEL_SENDERS ? CHANNEL_RECEIVERS : CHANNEL_SENDERS;
}

/* Whether linked or not, it may go on only in its turn. */
static inline bool meeting_try(struct channel_operation *operation, enum channel_side side,
                               uint64_t capacity)
{
    if (operation->queue && meeting_find(operation->channel, side) != operation) {
        return false;
    }
    return side == CHANNEL_SENDERS ? meeting_try_send(operation, capacity)
                                   : meeting_try_receive(operation, capacity);
}

/* OK: the message has arrived, or is in the ring. */
static inline enum status meeting_wait(struct channel_operation *operation, enum channel_side side,
                                       uint64_t capacity, uint64_t deadline)
{
    enum status status = OK;
    while (!operation->is_taken) {
        if (side == CHANNEL_SENDERS && channel_is_closed(operation->channel, CHANNEL_RECEIVERS)) {
            return ERR_CLOSED;
        }
        if (status != OK) {
            return status;
        }
        if (meeting_try(operation, side, capacity)) {
            return OK;
        }
        if (channel_is_closed(operation->channel, meeting_other(side))) {
            return ERR_CLOSED;
        }
        status = channel_wait(operation, side, deadline);
    }
    return OK;
}

/* One call: `slot` is where the message is, or is to go: a word, bytes, or a handle. */
static inline enum status meeting_exchange(struct channel_end *end, enum channel_side side,
                                           void *slot, uint64_t capacity, uint64_t deadline)
{
    struct channel_operation record;
    channel_begin(&record, end->channel);
    channel_begin_notes(&record);
    record.is_sending = side == CHANNEL_SENDERS;
    record.count = WAY_NONE;
    record.slot = slot;
    OWNED(channel_operation, operation);
    FILL(SLOT(operation), &record);
    channel_lock(&record);
    enum status status = meeting_wait(&record, side, capacity, deadline);
    channel_leave(&record);
    channel_unlock(&record);
    EMPTY(SLOT(operation));
    return status;
}

static inline enum status meeting_create(size_t capacity, size_t size, channel_drop_t drop,
                                         const struct channel_kind *kind,
                                         struct channel_end **sender, struct channel_end **receiver)
    OWN_ACQUIRES(**sender, **receiver);
static inline enum status meeting_create(size_t capacity, size_t size, channel_drop_t drop,
                                         const struct channel_kind *kind,
                                         struct channel_end **sender,
                                         struct channel_end **receiver) OWN_UNCHECKED
{
    if (capacity == 0 || capacity > MESSAGE_CHANNEL_CAPACITY_MAX ||
        size > MESSAGE_CHANNEL_MESSAGE_SIZE_MAX) {
        return ERR_INVALID_ARGUMENT;
    }
    uint64_t entry_size = size <= sizeof(uint64_t) ? sizeof(uint64_t) : (size + 7) & ~(size_t)7;
    OWNED(heap_block, block);
    if (!heap_block_take(sizeof(struct message_channel) + capacity * entry_size, SLOT(block))) {
        return ERR_NO_MEMORY;
    }
    struct message_channel *meeting = heap_block_of(*SLOT(block));
    meeting->sent = 0;
    meeting->received = 0;
    meeting->capacity = capacity;
    meeting->entry_size = entry_size;
    meeting->size = size;
    channel_init(&meeting->channel, kind, drop, SLOT(block), sender, receiver);
    return OK;
}
