/* SPDX-License-Identifier: MIT */
/*
 * The record of a waiter lies beside a slot on the same stack; the slot's drop takes it out of the
 * queue. Its task pointer is good while it is linked: so it is unparked under the lock, and its
 * owner takes the lock once more before the record is gone.
 */
#include "wait_queue.h"

CELL(library, "1.0.0");

/* Not inlined: GCC would warn that the address of a local variable outlives it, which is the idea. */
static NOINLINE void link_last(struct wait_queue *queue, struct waiter *waiter)
{
    waiter->previous = queue->last;
    waiter->next = NULL;
    if (queue->last) {
        queue->last->next = waiter;
    } else {
        queue->first = waiter;
    }
    queue->last = waiter;
    waiter->queue = queue;
}

static void unlink_waiter(struct waiter *waiter)
{
    struct wait_queue *queue = waiter->queue;
    if (waiter->previous) {
        waiter->previous->next = waiter->next;
    } else {
        queue->first = waiter->next;
    }
    if (waiter->next) {
        waiter->next->previous = waiter->previous;
    } else {
        queue->last = waiter->previous;
    }
    waiter->queue = NULL;
}

void waiter_drop(struct waiter **handle)
{
    struct waiter *waiter = *handle;
    if (!waiter) {
        return;
    }
    /* What is unwound may hold the lock: its guard is older, and is dropped after this. */
    bool is_held = waiter->lock->holder == waiter->guard;
    OWNED(spinlock, held);
    if (!is_held) {
        spinlock_lock(waiter->lock, SLOT(held));
    }
    if (waiter->queue) {
        unlink_waiter(waiter);
    }
    EMPTY(handle);
}

enum status wait_queue_wait(struct wait_queue *queue, struct spinlock **guard, uint64_t deadline,
                            const struct parking_reason *reason, void *context) OWN_UNCHECKED
{
    if (!parking_self()) {
        return ERR_STATE;
    }
    struct spinlock *lock = *guard;
    struct waiter record = {
        .lock = lock, .guard = guard, .task = parking_self(), .context = context};
    OWNED(waiter, waiter);
    FILL(SLOT(waiter), &record);
    link_last(queue, &record);

    enum status status = OK;
    while (!record.woken && status == OK) {
        spinlock_unlock(guard);
        status = parking_park(deadline, reason);
        spinlock_lock(lock, guard);
    }
    if (record.queue) {
        unlink_waiter(&record);
    }
    EMPTY(SLOT(waiter));
    return record.woken ? OK : status;
}

void wait_queue_wake(struct waiter *waiter)
{
    unlink_waiter(waiter);
    waiter->woken = true;
    parking_unpark(waiter->task);
}

bool wait_queue_wake_one(struct wait_queue *queue)
{
    if (!queue->first) {
        return false;
    }
    wait_queue_wake(queue->first);
    return true;
}

size_t wait_queue_wake_all(struct wait_queue *queue)
{
    size_t count = 0;
    while (wait_queue_wake_one(queue)) {
        count++;
    }
    return count;
}
