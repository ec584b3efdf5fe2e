/* SPDX-License-Identifier: MIT */
/*
 * The ring's entries are 8 bytes, or the size of a message rounded up to that. `sent` and `received`
 * count messages since the beginning; message n is in entry n & mask. Sending commits by the store
 * of `sent`, receiving by that of `received`.
 *
 * A handle is in two places for a moment; the record knows which one counts:
 *
 *                  before the commit (undone)       after it (finished)
 *      sending     entry is ignored                 the sender's slot is emptied
 *      receiving   the receiver's slot is emptied   nothing is left to do
 *
 * A word does not go through the ring where a receiver waits and the ring is empty: the sender puts it
 * into the receiver's record and takes that off the list, which is the commit, after it has woken
 * it (serve_receiver). Who finds itself off the list has its word, and needs no lock to see it. A receiver
 * that is killed then has received it.
 *
 * Sending and receiving exist three times, for words, bytes and handles, from one source, so that
 * no form pays for the others.
 */
#include "async_channel.h"

#include "commit.h"
#include "freestanding.h"
#include "heap_block.h"

CELL(library, "1.0.0");

struct async_channel {
    struct channel channel; /* first: the block is freed by its address */

    /* Under the lock. */
    uint64_t sent;
    uint64_t received;

    /* Constant. */
    uint64_t capacity;
    uint64_t mask;
    uint64_t entry_size;
    uint64_t size; /* of a message */
    uint64_t entries[];
};

/* ---- what the three forms differ in ---- */

enum form {
    FORM_WORD,
    FORM_BYTES,
    FORM_OWNED,
};

union message {
    uint64_t word;
    const void *bytes;
    void **owned;
};

union destination {
    uint64_t *word;
    void *bytes;
    void **owned;
};

static inline struct async_channel *of(const struct channel *channel)
{
    return CONTAINER_OF(channel, struct async_channel, channel);
}

static inline uint64_t *word_entry(struct async_channel *ring, uint64_t position)
{
    return &ring->entries[position & ring->mask];
}

static inline void *bytes_entry(struct async_channel *ring, uint64_t position)
{
    return (char *)ring->entries + (position & ring->mask) * ring->entry_size;
}

static inline void commit(uint64_t *counter, uint64_t value)
{
    COMPILER_BARRIER();
    *counter = value;
    COMPILER_BARRIER();
}

/* Notes that a handle moves, and what the counter is when it has. */
static inline void note_move(struct channel_operation *operation, bool is_sending, void **slot,
                             uint64_t position)
{
    channel_begin_notes(operation);
    operation->is_sending = is_sending;
    operation->position = position;
    COMPILER_BARRIER();
    operation->slot = slot;
    COMPILER_BARRIER();
}

static inline void put_message(struct channel_operation *operation, struct async_channel *ring,
                               enum form form, union message message)
{
    uint64_t position = ring->sent;
    if (form == FORM_WORD) {
        *word_entry(ring, position) = message.word;
    } else if (form == FORM_BYTES) {
        memcpy(bytes_entry(ring, position), message.bytes, ring->size);
    } else {
        note_move(operation, true, message.owned, position + 1);
        *word_entry(ring, position) = (uint64_t)*message.owned;
    }
    commit(&ring->sent, position + 1);
    if (form == FORM_OWNED) {
        channel_set_handle(message.owned, NULL);
        operation->slot = NULL;
    }
}

static inline void take_message(struct channel_operation *operation, struct async_channel *ring,
                                enum form form, union destination out)
{
    uint64_t position = ring->received;
    if (form == FORM_WORD) {
        *out.word = *word_entry(ring, position);
    } else if (form == FORM_BYTES) {
        memcpy(out.bytes, bytes_entry(ring, position), ring->size);
    } else {
        note_move(operation, false, out.owned, position + 1);
        OWN_DEMAND_(!*out.owned);
        channel_set_handle(out.owned, (void *)*word_entry(ring, position));
    }
    commit(&ring->received, position + 1);
    if (form == FORM_OWNED) {
        operation->slot = NULL;
    }
}

/* ---- what channel.h asks for ---- */

static void settle(struct channel_operation *operation)
{
    const struct async_channel *ring = of(operation->channel);
    if (operation->slot) {
        uint64_t counter = operation->is_sending ? ring->sent : ring->received;
        if ((counter == operation->position) == operation->is_sending) {
            channel_set_handle(operation->slot, NULL);
        }
        operation->slot = NULL;
    }
}

static inline bool is_full(const struct async_channel *ring)
{
    return ring->sent - ring->received >= ring->capacity;
}

static inline bool is_empty(const struct async_channel *ring)
{
    return ring->sent == ring->received;
}

static bool is_ready(const struct channel *channel, enum channel_side side)
{
    const struct async_channel *ring = of(channel);
    return side == CHANNEL_SENDERS ? !is_full(ring) : !is_empty(ring);
}

static bool take_rest(struct channel_operation *operation)
{
    struct async_channel *ring = of(operation->channel);
    if (is_empty(ring)) {
        return false;
    }
    take_message(operation, ring, FORM_OWNED, (union destination){.owned = &operation->message});
    return true;
}

static const struct channel_kind kind = {
    .name = "asynchronous channel",
    .settle = settle,
    .is_ready = is_ready,
    .take_rest = take_rest,
};

/* ---- sending and receiving ---- */

/* The lock is held, here and when it returns; OK: there is room, and somebody who can receive. */
static inline enum status wait_for_room(struct channel_operation *operation,
                                        struct async_channel *ring, uint64_t deadline)
{
    enum status status = OK;
    while (!channel_is_closed(&ring->channel, CHANNEL_RECEIVERS)) {
        if (LIKELY(!is_full(ring))) {
            return OK;
        }
        if (status != OK) {
            return status;
        }
        status = channel_wait(operation, CHANNEL_SENDERS, deadline);
    }
    return ERR_CLOSED;
}

static inline enum status wait_for_message(struct channel_operation *operation,
                                           struct async_channel *ring, uint64_t deadline)
{
    enum status status = OK;
    while (is_empty(ring)) {
        if (channel_is_closed(&ring->channel, CHANNEL_SENDERS)) {
            return ERR_CLOSED;
        }
        if (status != OK) {
            return status;
        }
        status = channel_wait(operation, CHANNEL_RECEIVERS, deadline);
    }
    return OK;
}

/* Gives the message to a receiver that waits, if it is the next. False: it has to go through the ring. */
static inline bool serve_receiver(struct async_channel *ring, uint64_t word)
{
    struct channel_queue *receivers = &ring->channel.waiting[CHANNEL_RECEIVERS];
    struct channel_operation *first = receivers->first;
    if (!first || !is_empty(ring)) {
        return false;
    }
    first->word = word;
    COMPILER_BARRIER();
    parking_unpark(first->task);
    struct channel_operation *next = first->next;
    commit_three(&receivers->first, next, next ? &next->previous : &receivers->last, NULL,
                 &first->queue, NULL);
    channel_wake(&ring->channel, CHANNEL_SENDERS); /* as who receives does */
    return true;
}

/* Both with the lock held, here and when they return. A word may find a receiver while it waits for room. */
static inline enum status send_through_ring(struct channel_operation *record,
                                            struct async_channel *ring, enum form form,
                                            union message message, uint64_t deadline)
{
    enum status status = wait_for_room(record, ring, deadline);
    if (LIKELY(status == OK) &&
        !(form == FORM_WORD && record->queue && serve_receiver(ring, message.word))) {
        put_message(record, ring, form, message);
        channel_wake(&ring->channel, CHANNEL_RECEIVERS);
    }
    channel_leave(record);
    return status;
}

__attribute__((always_inline)) static inline enum status send(struct channel_end *end,
                                                              enum form form, union message message,
                                                              uint64_t deadline)
{
    struct async_channel *ring = of(end->channel);
    struct channel_operation record;
    channel_begin(&record, &ring->channel);
    OWN_BEGIN(channel_operation, operation, &record);
    channel_lock_of(&ring->channel, &record);
    enum status status = send_through_ring(&record, ring, form, message, deadline);
    channel_unlock_of(&ring->channel);
    OWN_END(operation);
    return status;
}

__attribute__((always_inline)) static inline enum status receive(struct channel_end *end,
                                                                 enum form form,
                                                                 union destination out,
                                                                 uint64_t deadline)
{
    struct async_channel *ring = of(end->channel);
    struct channel_operation record;
    channel_begin(&record, &ring->channel);
    OWN_BEGIN(channel_operation, operation, &record);
    channel_lock_of(&ring->channel, &record);
    enum status status = wait_for_message(&record, ring, deadline);
    if (LIKELY(status == OK)) {
        take_message(&record, ring, form, out);
        channel_wake(&ring->channel, CHANNEL_SENDERS);
    }
    channel_leave(&record);
    channel_unlock_of(&ring->channel);
    OWN_END(operation);
    return status;
}

/* ---- words ---- */

static inline enum status take_word(struct channel_operation *record, struct async_channel *ring,
                                    uint64_t *out_word)
{
    take_message(record, ring, FORM_WORD, (union destination){.word = out_word});
    channel_wake(&ring->channel, CHANNEL_SENDERS);
    return OK;
}

/* Waits, linked, with the lock let go; true: a sender has served it, and the lock stays let go. */
static inline bool wait_to_be_served(struct channel_operation *record, struct channel *channel,
                                     uint64_t deadline, enum status *status)
{
    channel_unlock_of(channel);
    *status = parking_park_inline(deadline, &channel->reason);
    if (LIKELY(channel_was_served(record))) {
        return true;
    }
    channel_lock(record); /* what is in registers is not kept over the wait */
    if (LIKELY(!channel_was_served(record))) {
        return false;
    }
    channel_unlock(record);
    return true;
}

/* It was not served at once. With the lock held, which is let go in the end; `status` is that of the wait so far. */
static NOINLINE enum status wait_for_word(struct channel_operation *record, uint64_t *out_word,
                                          uint64_t deadline, enum status status)
{
    struct async_channel *ring = of(record->channel);
    while (is_empty(ring)) {
        if (channel_is_closed(&ring->channel, CHANNEL_SENDERS)) {
            status = ERR_CLOSED;
        }
        if (status == OK) {
            status = channel_prepare_wait(record, &ring->channel, CHANNEL_RECEIVERS, deadline);
        }
        if (status != OK) {
            channel_leave(record);
            channel_unlock(record);
            return status;
        }
        if (wait_to_be_served(record, &ring->channel, deadline, &status)) {
            *out_word = record->word;
            return OK;
        }
    }
    status = take_word(record, ring, out_word);
    channel_leave(record);
    channel_unlock(record);
    return status;
}

/* Nobody has to wait or to be woken. */
static inline bool has_simple_room(const struct async_channel *ring)
{
    return !ring->channel.waiting[CHANNEL_RECEIVERS].first && !is_full(ring) &&
           !channel_is_closed(&ring->channel, CHANNEL_RECEIVERS);
}

static NOINLINE enum status send_word_through_ring(struct channel_operation *record,
                                                   struct async_channel *ring, uint64_t word,
                                                   uint64_t deadline)
{
    return send_through_ring(record, ring, FORM_WORD, (union message){.word = word}, deadline);
}

enum status async_channel_send_word(struct channel_end *end, uint64_t word, uint64_t deadline)
{
    struct async_channel *ring = of(end->channel);
    struct channel_operation record;
    channel_begin(&record, &ring->channel);
    OWN_BEGIN(channel_operation, operation, &record);
    channel_lock_of(&ring->channel, &record);
    enum status status = OK;
    if (!serve_receiver(ring, word)) {
        if (LIKELY(has_simple_room(ring))) {
            put_message(&record, ring, FORM_WORD, (union message){.word = word});
        } else {
            status = send_word_through_ring(&record, ring, word, deadline);
        }
    }
    channel_unlock_of(&ring->channel);
    OWN_END(operation);
    return status;
}

enum status async_channel_send_bytes(struct channel_end *end, const void *message,
                                     uint64_t deadline)
{
    return send(end, FORM_BYTES, (union message){.bytes = message}, deadline);
}

enum status async_channel_send_owned(struct channel_end *end, void **message, uint64_t deadline)
{
    return send(end, FORM_OWNED, (union message){.owned = message}, deadline);
}

enum status async_channel_receive_word(struct channel_end *end, uint64_t *out_word,
                                       uint64_t deadline)
{
    struct async_channel *ring = of(end->channel);
    struct channel_operation record;
    enum status status = OK;
    channel_begin(&record, &ring->channel);
    OWN_BEGIN(channel_operation, operation, &record);
    channel_lock_of(&ring->channel, &record);
    if (!is_empty(ring)) {
        status = take_word(&record, ring, out_word);
        channel_unlock_of(&ring->channel);
    } else if (LIKELY(!channel_is_closed(&ring->channel, CHANNEL_SENDERS) &&
                      deadline != CHANNEL_TRY &&
                      channel_link(&record, &ring->channel, CHANNEL_RECEIVERS) == OK &&
                      wait_to_be_served(&record, &ring->channel, deadline, &status))) {
        *out_word = record.word;
        status = OK;
    } else {
        status = wait_for_word(&record, out_word, deadline, status);
    }
    OWN_END(operation);
    return status;
}

enum status async_channel_receive_bytes(struct channel_end *end, void *out_message,
                                        uint64_t deadline)
{
    return receive(end, FORM_BYTES, (union destination){.bytes = out_message}, deadline);
}

enum status async_channel_receive_owned(struct channel_end *end, void **out, uint64_t deadline)
{
    return receive(end, FORM_OWNED, (union destination){.owned = out}, deadline);
}

/* ---- creation ---- */

static uint64_t power_of_two_above(uint64_t number)
{
    uint64_t power = 1;
    while (power < number) {
        power *= 2;
    }
    return power;
}

enum status async_channel_create(size_t capacity, size_t size, channel_drop_t drop,
                                 struct channel_end **sender,
                                 struct channel_end **receiver) OWN_UNCHECKED
{
    if (capacity == 0 || capacity > ASYNC_CHANNEL_CAPACITY_MAX ||
        size > ASYNC_CHANNEL_MESSAGE_SIZE_MAX) {
        return ERR_INVALID_ARGUMENT;
    }
    uint64_t entry_size = size <= sizeof(uint64_t) ? sizeof(uint64_t) : (size + 7) & ~(size_t)7;
    uint64_t entries = power_of_two_above(capacity);
    OWNED(heap_block, block);
    if (!heap_block_take(sizeof(struct async_channel) + entries * entry_size, SLOT(block))) {
        return ERR_NO_MEMORY;
    }
    struct async_channel *ring = heap_block_of(*SLOT(block));
    ring->sent = 0;
    ring->received = 0;
    ring->capacity = capacity;
    ring->mask = entries - 1;
    ring->entry_size = entry_size;
    ring->size = size;
    channel_init(&ring->channel, &kind, drop, SLOT(block), sender, receiver);
    return OK;
}

size_t async_channel_count(const struct channel_end *end)
{
    const struct async_channel *ring = of(end->channel);
    uint64_t received = __atomic_load_n(&ring->received, __ATOMIC_RELAXED);
    uint64_t sent = __atomic_load_n(&ring->sent, __ATOMIC_RELAXED);
    return sent - received <= ring->capacity ? sent - received : ring->capacity;
}
