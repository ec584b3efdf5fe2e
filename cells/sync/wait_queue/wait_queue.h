/* SPDX-License-Identifier: MIT */
/*
 * wait_queue.h - tasks that wait for something that a spinlock protects.
 *
 * Why: mutexes, channels and joins differ in what they wait for, not in how. Each embeds one of these
 * beside the lock of its state.
 *
 * Rules: a queue is all zeros when empty and is protected by its owner's spinlock, always the same
 * one. Waiters are on the stacks of who waits, oldest first. A waiter that a fault or a kill unwinds
 * leaves the queue: it is an owned thing, and its drop takes the lock. If it had been woken, but not
 * yet seen that, the queue's owner must not lose the wake-up: it looks at its state in a loop,
 * and wakes by state, not by count.
 */
#pragma once

#include "parking.h"
#include "spinlock.h"

struct waiter;

struct wait_queue {
    struct waiter *first; /* oldest */
    struct waiter *last;
};

struct OWN_CAPABILITY("waiter") waiter {
    struct waiter *next;
    struct waiter *previous;
    struct wait_queue *queue; /* NULL: not in one */
    struct spinlock *lock;    /* of the queue */
    struct spinlock **guard;  /* that of the waiting task: it may hold the lock */
    struct task *task;
    void *context; /* for the queue's owner: what it wants, or where it goes */
    bool woken;
};
OWN_DECLARE(waiter);

/*
 * Waits. `*guard` holds the queue's lock: it is let go while waiting, and held again at the end.
 * `context` can be seen by who wakes. ERR_TIMEOUT when `deadline` (parking.h) came first; whatever
 * is returned, the caller looks at its condition again. Not before there are tasks: ERR_STATE.
 */
CELL_API enum status wait_queue_wait(struct wait_queue *queue, struct spinlock **guard,
                                     uint64_t deadline, const struct parking_reason *reason,
                                     void *context);

/* The caller holds the lock in all of these. Wakes the oldest; false if nobody waits. */
CELL_API bool wait_queue_wake_one(struct wait_queue *queue);
/* Wakes all; returns how many. */
CELL_API size_t wait_queue_wake_all(struct wait_queue *queue);
/* Wakes this one, which is in the queue. */
CELL_API void wait_queue_wake(struct waiter *waiter);

/* The oldest waiter, NULL if nobody waits; the one behind `waiter`. */
static inline struct waiter *wait_queue_first(const struct wait_queue *queue)
{
    return queue->first;
}

static inline struct waiter *wait_queue_next(const struct waiter *waiter)
{
    return waiter->next;
}
