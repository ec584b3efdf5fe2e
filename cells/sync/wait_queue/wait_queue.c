/* SPDX-License-Identifier: MIT */
/*
 * The record of a waiter lies beside a slot on the same stack; the slot's drop takes it out of the
 * queue. Its task pointer is good while it is linked: so it is unparked under the lock, and its
 * owner takes the lock once more before the record is gone.
 *
 * `next` alone says who waits, so joining and leaving are one store each, between any two
 * instructions of which a kill may strike. `last` is where a search for the end begins: NULL, or
 * one that waits, seldom not the last one. A list linked both ways would need several stores and
 * somebody to mend it; what is lost here is time when one in the middle leaves.
 *
 * Waking is a drop: once its slot is full, who wakes may be killed, and the unwinding wakes.
 */
#include "wait_queue.h"

CELL(library, "1.1.0");

/* A wake-up under way; it is the waiter that will be woken. */
struct OWN_CAPABILITY("wake-up") wake_up;
OWN_DECLARE(wake_up);

/* Not inlined: GCC would warn that the address of a local variable outlives it, which is the idea.
 */
static NOINLINE void link_last(struct wait_queue *queue, struct waiter *waiter)
{
    struct waiter **end = queue->last ? &queue->last->next : &queue->first;
    while (*end) {
        end = &(*end)->next;
    }
    COMPILER_BARRIER();
    *end = waiter;
    COMPILER_BARRIER();
    queue->last = waiter;
}

/* Does nothing where it is not in the queue. */
static void unlink_waiter(struct waiter *waiter)
{
    struct wait_queue *queue = waiter->queue;
    struct waiter *before = NULL;
    struct waiter **link = &queue->first;
    while (*link && *link != waiter) {
        before = *link;
        link = &before->next;
    }
    if (!*link) {
        return;
    }
    bool was_last = queue->last == waiter;
    if (was_last) {
        queue->last = NULL;
    }
    COMPILER_BARRIER();
    *link = waiter->next;
    COMPILER_BARRIER();
    if (was_last) {
        queue->last = before;
    }
}

void wake_up_drop(struct wake_up **handle)
{
    struct waiter *waiter = (struct waiter *)*handle;
    if (!waiter) {
        return;
    }
    unlink_waiter(waiter);
    waiter->woken = true;
    parking_unpark(waiter->task);
    EMPTY(handle);
}

void wait_queue_wake(struct waiter *waiter)
{
    OWNED(wake_up, wake_up);
    FILL(SLOT(wake_up), (struct wake_up *)waiter);
}

/* Only a waiter that is unwound comes here full. */
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
    unlink_waiter(waiter);
    if (waiter->woken) {
        (void)wait_queue_wake_one(waiter->queue);
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
        .queue = queue, .lock = lock, .guard = guard, .task = parking_self(), .context = context};
    OWNED(waiter, waiter);
    FILL(SLOT(waiter), &record);
    link_last(queue, &record);

    enum status status = OK;
    while (!record.woken && status == OK) {
        spinlock_unlock(guard);
        status = parking_park(deadline, reason);
        spinlock_lock(lock, guard);
    }
    if (!record.woken) {
        unlink_waiter(&record);
    }
    EMPTY(SLOT(waiter));
    return record.woken ? OK : status;
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
