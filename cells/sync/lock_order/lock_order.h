/* SPDX-License-Identifier: MIT */
/*
 * lock_order.h - finds locks that are taken in different orders.
 *
 * Why: two tasks that take two locks in different orders stop for ever, once in a million times.
 * That they do is seen every time, if somebody notes which kind of lock was taken while which was
 * held: two notes that contradict each other are an error, whether or not it struck.
 *
 * Rules: in builds of the debug profile and in native tests (LOCK_ORDER_CHECKED); elsewhere the
 * calls are empty. For the cells that implement locks, in any context. Locks of one name are of one
 * kind; those without a name are not looked at. What is held is read off the chain of slots
 * (own.h): so only guards count, and those of what an interrupt interrupted count too. Each finding
 * is logged once, as an error, and counted. Reported are:
 *
 *  - two kinds in both orders, also through others: all orders that contradict, and where they were
 *    seen;
 *  - two locks of one kind, unless the one at the lower address is taken first;
 *  - a lock that does not keep interrupts off, in a handler of interrupts;
 *  - such a lock while one is held that handlers take too: who holds the first may be interrupted
 *    by a handler that waits for the second;
 *  - a lock for which one parks, while preemption is held or in a handler.
 *
 * Of an attempt that does not wait nothing is noted but that the lock is held later. Tables are
 * filled without locks, and keep LOCK_ORDER_KINDS kinds; what comes then is counted, and not looked
 * at.
 */
#pragma once

#include "cpu_local.h"

#if defined(LOCK_ORDER_CHECKED)
/* The test has decided: strikes are for what a release contains. */
#elif defined(PROFILE_DEBUG) || __STDC_HOSTED__
    #define LOCK_ORDER_CHECKED 1
#else
    #define LOCK_ORDER_CHECKED 0
#endif

#define LOCK_ORDER_KINDS 128u /* some times what the system has */

/* One for each type of lock; constant, and there as long as guards of the type are. */
struct lock_type {
    const char *what; /* "spinlock" */
    own_drop_t drop;  /* of its guards: that is how they are found in the chain */
    const char *(*name)(const void *lock);
    bool masks; /* keeps interrupts off: handlers may take it */
    bool parks; /* who waits for it parks */
};

struct lock_order_statistics {
    unsigned kinds;
    unsigned orders;   /* of two kinds, that were seen */
    unsigned findings; /* that were logged */
    unsigned lost;     /* acquisitions of a kind beyond the limit */
};

CELL_API struct lock_order_statistics lock_order_statistics(void);
/* Forgets everything. For tests; nobody uses locks meanwhile. */
CELL_API void lock_order_reset(void);

CELL_API void lock_order_check(const struct lock_type *type, const void *lock, const void *guard,
                               const void *where);

/*
 * About to wait for `lock`, which `guard` (the address of the handle, in a slot or not) will hold;
 * `where` is the code that wants it.
 */
static inline void lock_order_acquire(const struct lock_type *type, const void *lock,
                                      const void *guard, const void *where)
{
    if (LOCK_ORDER_CHECKED) {
        lock_order_check(type, lock, guard, where);
    }
}
