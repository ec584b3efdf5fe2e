/* SPDX-License-Identifier: MIT */
/*
 * Waiting by state, not by count: a task that was woken looks at the channel again. It stays linked
 * and marked until it has looked, so nobody wakes it twice for nothing, and nobody else's place is
 * lost. The counts agree: each message that comes marks one waiter, if there is one without
 * a mark; a waiter without a mark therefore means that there are no more messages than marks. Only a
 * kill breaks this, and the drop of the record mends it (pass_on).
 *
 * Links: a record's own fields are right before anything points to it, and unlinking, which is the
 * same stores in the same order however often it begins, is right for a record that is half linked.
 *
 * Releasing an end is several stores. The record notes the count that must result, so they can be
 * done again from the beginning.
 */
#include "channel.h"

#include "commit.h"
#include "heap_block.h"
#include "x86.h"

CELL(library, "1.0.0");

void channel_lock_contended(struct channel_operation *operation)
{
    struct channel *channel = operation->channel;
    struct channel_operation *nobody;
    do {
        while (__atomic_load_n(&channel->holder, __ATOMIC_RELAXED)) {
            cpu_relax();
        }
        nobody = NULL;
    } while (!__atomic_compare_exchange_n(&channel->holder, &nobody, operation, false,
                                          __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
}

/* ---- waiting ---- */

void channel_unlink(struct channel_operation *operation)
{
    struct channel_queue *queue = operation->queue;
    if (operation->previous) {
        operation->previous->next = operation->next;
    } else {
        queue->first = operation->next;
    }
    COMPILER_BARRIER();
    if (operation->next) {
        operation->next->previous = operation->previous;
    } else {
        queue->last = operation->previous;
    }
    COMPILER_BARRIER();
    operation->queue = NULL;
    COMPILER_BARRIER();
}

enum status channel_wait(struct channel_operation *operation, enum channel_side side,
                         uint64_t deadline)
{
    struct channel *channel = operation->channel;
    enum status status = channel_prepare_wait(operation, channel, side, deadline);
    if (status != OK) {
        return status;
    }
    channel_unlock_of(channel);
    status = parking_park(deadline, &channel->reason);
    channel_lock_of(channel, operation);
    return status;
}

void channel_wake_next(struct channel_operation *first)
{
    while (first && first->is_woken) {
        first = first->next;
    }
    if (first) {
        parking_unpark(first->task);
        COMPILER_BARRIER();
        first->is_woken = true;
    }
}

static void wake_all(const struct channel *channel, enum channel_side side)
{
    for (struct channel_operation *waiter = channel->waiting[side].first; waiter;
         waiter = waiter->next) {
        parking_unpark(waiter->task);
        waiter->is_woken = true;
    }
}

/* In place of a task that was killed: wakes whoever can go on as things are. */
static void pass_on(struct channel *channel)
{
    for (enum channel_side side = CHANNEL_SENDERS; side < CHANNEL_SIDES; side++) {
        if (channel_is_closed(channel,
                              side == CHANNEL_SENDERS ? CHANNEL_RECEIVERS : CHANNEL_SENDERS)) {
            wake_all(channel, side);
        } else if (channel->kind->is_ready(channel, side)) {
            channel_wake(channel, side);
        }
    }
}

/* ---- ends ---- */

static void put_unused(struct channel *channel, struct channel_end *end)
{
    if (channel->unused != end) {
        end->next = channel->unused;
        COMPILER_BARRIER();
        channel->unused = end;
        COMPILER_BARRIER();
    }
}

/* operation->end, whose handle is `*end_slot`, is no end any more. May be begun again. Unchecked:
 * the handle is a field here. */
static void finish_release(struct channel_operation *operation) OWN_UNCHECKED
{
    struct channel *channel = operation->channel;
    struct channel_end *end = operation->end;
    channel->open[end->side] = operation->count;
    COMPILER_BARRIER();
    put_unused(channel, end);
    if (operation->count == 0) {
        wake_all(channel, end->side == CHANNEL_SENDERS ? CHANNEL_RECEIVERS : CHANNEL_SENDERS);
    }
    EMPTY(operation->end_slot);
    operation->is_last =
        channel->open[CHANNEL_SENDERS] == 0 && channel->open[CHANNEL_RECEIVERS] == 0;
    COMPILER_BARRIER();
    operation->end = NULL;
    COMPILER_BARRIER();
}

/* operation->clone is given to `*end_slot`, or it is not. May be begun again. */
static void finish_clone(struct channel_operation *operation)
{
    struct channel *channel = operation->channel;
    if (*operation->end_slot == operation->clone) {
        channel->open[operation->clone->side] = operation->count;
    } else {
        put_unused(channel, operation->clone);
    }
    COMPILER_BARRIER();
    operation->clone = NULL;
    COMPILER_BARRIER();
}

/* Nobody else knows of the channel. May be begun again. */
static void free_unused(struct channel *channel)
{
    struct channel_end *end;
    while ((end = channel->unused)) {
        OWNED(heap_block, block);
        commit_two(&channel->unused, end->next, SLOT(block), end->is_embedded ? NULL : end);
    }
}

static void drop_message(struct channel_operation *operation)
{
    if (operation->message) {
        operation->channel->drop(&operation->message);
    }
}

/* What the notes say was begun. May be begun again. */
static void finish_noted(struct channel_operation *operation)
{
    operation->channel->kind->settle(operation);
    if (operation->end) {
        finish_release(operation);
    }
    if (operation->clone) {
        finish_clone(operation);
    }
}

void channel_operation_drop(struct channel_operation **handle)
{
    struct channel_operation *operation = *handle;
    if (!operation) {
        return;
    }
    struct channel *channel = operation->channel;
    if (!operation->is_last || operation->end) {
        if (channel->holder != operation) {
            channel_lock(operation);
        }
        if (operation->has_notes) {
            finish_noted(operation);
        }
        channel_leave(operation);
        pass_on(channel);
    }
    if (channel->holder == operation) {
        channel_unlock(operation);
    }
    if (operation->has_notes) {
        drop_message(operation);
    }
    if (operation->is_last) {
        OWNED(heap_block, block);
        free_unused(channel);
        commit_two(handle, NULL, SLOT(block), channel);
    }
    EMPTY(handle);
}

void channel_init(struct channel *channel, const struct channel_kind *kind, channel_drop_t drop,
                  struct heap_block **block, struct channel_end **sender,
                  struct channel_end **receiver) OWN_UNCHECKED
{
    OWN_DEMAND_(!*sender && !*receiver);
    *channel = (struct channel){
        .kind = kind,
        .drop = drop,
        .reason = {.what = kind->name, .object = channel},
        .open = {1, 1},
        .ends = {{.channel = channel, .side = CHANNEL_SENDERS, .is_embedded = true},
                 {.channel = channel, .side = CHANNEL_RECEIVERS, .is_embedded = true}},
    };
    commit_three(sender, &channel->ends[CHANNEL_SENDERS], receiver,
                 &channel->ends[CHANNEL_RECEIVERS], block, NULL);
}

/* An end without a use, under the lock; the heap is asked without it. */
static enum status find_unused(struct channel_operation *operation)
{
    struct channel *channel = operation->channel;
    if (!channel->unused) {
        OWNED(heap_block, block);
        channel_unlock(operation);
        bool has_memory = heap_block_take_zeroed(sizeof(struct channel_end), SLOT(block));
        channel_lock(operation);
        if (!has_memory) {
            return ERR_NO_MEMORY;
        }
        struct channel_end *end = heap_block_of(*SLOT(block));
        end->channel = channel;
        end->next = channel->unused;
        commit_two(&channel->unused, end, SLOT(block), NULL);
    }
    return OK;
}

enum status channel_end_clone(struct channel_end *end, struct channel_end **out) OWN_UNCHECKED
{
    struct channel *channel = end->channel;
    struct channel_operation record;
    channel_begin(&record, channel);
    channel_begin_notes(&record);
    OWNED(channel_operation, operation);
    FILL(SLOT(operation), &record);
    channel_lock(&record);
    enum status status = find_unused(&record);
    if (status == OK && channel->open[end->side] == CHANNEL_ENDS_MAX) {
        status = ERR_LIMIT;
    }
    if (status == OK) {
        struct channel_end *clone = channel->unused;
        record.end_slot = out;
        record.count = channel->open[end->side] + 1;
        COMPILER_BARRIER();
        record.clone = clone;
        COMPILER_BARRIER();
        channel->unused = clone->next;
        clone->side = end->side;
        FILL(out, clone);
        finish_clone(&record);
    }
    channel_unlock(&record);
    EMPTY(SLOT(operation));
    return status;
}

size_t channel_end_peers(const struct channel_end *end)
{
    const uint32_t *open = end->channel->open;
    return __atomic_load_n(
        &open[end->side == CHANNEL_SENDERS ? CHANNEL_RECEIVERS : CHANNEL_SENDERS],
        __ATOMIC_RELAXED);
}

/* The last receiver goes: senders are refused, and what is underway is dropped while the channel
 * is sure to stay. The lock is held, but not while messages are dropped: that may take any time. */
static void drop_rest(struct channel_operation *operation)
{
    struct channel *channel = operation->channel;
    channel->is_closing = true;
    COMPILER_BARRIER();
    wake_all(channel, CHANNEL_SENDERS);
    while (channel->drop && channel->kind->take_rest(operation)) {
        channel_unlock(operation);
        drop_message(operation);
        channel_lock(operation);
    }
}

void channel_end_drop(struct channel_end **handle)
{
    struct channel_end *end = *handle;
    if (!end) {
        return;
    }
    struct channel *channel = end->channel;
    struct channel_operation record;
    channel_begin(&record, channel);
    channel_begin_notes(&record);
    OWNED(channel_operation, operation);
    FILL(SLOT(operation), &record);
    channel_lock(&record);
    if (end->side == CHANNEL_RECEIVERS && channel->open[CHANNEL_RECEIVERS] == 1) {
        drop_rest(&record);
    }
    record.end_slot = handle;
    record.count = channel->open[end->side] - 1;
    COMPILER_BARRIER();
    record.end = end;
    COMPILER_BARRIER();
    finish_release(&record);
    channel_unlock(&record);
    /* The last end frees the channel: that is the drop's. */
    if (!record.is_last) {
        EMPTY(SLOT(operation));
    }
}
