/* SPDX-License-Identifier: MIT */
/*
 * timer_queue.h - deadlines in order.
 *
 * Why: whoever sets a clock's alarm needs the earliest of many deadlines, most of which are
 * withdrawn before they come.
 *
 * Rules: pure; the caller locks. Entries are the caller's, on whatever stack; nothing is allocated.
 * An all-zero entry is not in a queue. Adding takes O(1), removing O(log n) on average: a pairing
 * heap.
 */
#pragma once

#include "cell.h"

struct timer_entry {
    uint64_t deadline;
    void *context;               /* the caller's */
    struct timer_entry *child;   /* the first of those that come later */
    struct timer_entry *sibling; /* the next child of the same parent */
    struct timer_entry **link;   /* what points here; NULL: in no queue */
};

struct timer_queue {
    struct timer_entry *earliest; /* NULL: empty */
};

/* `entry` is in no queue. */
CELL_API void timer_queue_add(struct timer_queue *queue, struct timer_entry *entry);

/* Does nothing if it is in none. */
CELL_API void timer_queue_remove(struct timer_queue *queue, struct timer_entry *entry);

/* Takes out the earliest if its deadline is not after `now`, else NULL. */
CELL_API struct timer_entry *timer_queue_take_expired(struct timer_queue *queue, uint64_t now);

/* The earliest deadline, UINT64_MAX for an empty queue. */
static inline uint64_t timer_queue_next(const struct timer_queue *queue)
{
    return queue->earliest ? queue->earliest->deadline : UINT64_MAX;
}
