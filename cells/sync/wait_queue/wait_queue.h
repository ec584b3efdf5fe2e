/* SPDX-License-Identifier: MIT */
/*
 * wait_queue.h - tasks that wait for something that a spinlock protects.
 *
 * Why: mutexes, channels and joins differ in what they wait for, not in how. Each embeds one of
 * these beside the lock of its state.
 *
 * Rules: a queue is all zeros when empty and is protected by its owner's spinlock, always the same
 * one. Waiters are on the stacks of who waits, oldest first; joining takes constant time, leaving
 * before those that are older takes a step for each of them.
 * A kill may strike at any instruction: a waiter that is unwound leaves the queue (its drop takes
 * the lock), and if it had been woken it wakes the next one in its place; who is unwound while it
 * wakes somebody has woken it. What remains for the queue's owner is what lies between its own
 * state and these calls: it looks at its state in a loop, changes it and wakes in one drop, and
 * wakes by state, not by count.
 */
#pragma once

#include "parking.h"
#include "spinlock.h"

struct waiter;

struct wait_queue {
    struct waiter *first; /* oldest */
    struct waiter *last;  /* where to look for the end: NULL, or one that waits */
};

struct OWN_CAPABILITY("waiter") waiter {
    struct waiter *next;
    struct wait_queue *queue;
    struct spinlock *lock;   /* of the queue */
    struct spinlock **guard; /* that of the waiting task: it may hold the lock */
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
