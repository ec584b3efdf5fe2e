/* SPDX-License-Identifier: MIT */
/*
 * mutex.h - locks for which tasks wait, with inheritance of priorities.
 *
 * Why: what is held for longer than a few instructions, or while its holder waits for something
 * else, must not keep other CPUs spinning or keep preemption off. Who cannot have such a lock
 * parks.
 *
 * Rules: tasks only, interrupts enabled, no hold of preemption, unless nobody else can have the
 * lock; before there are tasks a mutex can be taken as long as nobody has it. Held by scope guards,
 * in the order of docs/locking.md; not recursive. Memory that is all zeros is an unlocked mutex
 * without a name. A mutex has no resources: its memory may go when nobody holds or wants it.
 *
 *      GUARD(mutex, held, &table->mutex);            to the end of the block
 *
 * Order: a mutex that is let go is *handed over* to the waiter of the highest priority, among
 * equals the one that waits longest. So nobody overtakes a waiter, and a task that lets a mutex go
 * and wants it again waits its turn. Barging would save switches where tasks fight for a mutex;
 * here the wait is bounded instead. Priorities: while a task holds what others wait for, it runs
 * with the highest of their priorities, and so does whoever it waits for itself, however long the
 * chain. Deadlock: who waits for a mutex that is held by one who waits ... for him is told, before
 * he waits: tasks and mutexes of the cycle are logged by name. A cycle in which somebody would have
 * given up at a deadline counts too: it is an error of order. Cost: without contention, one atomic
 * instruction each to take and to let go. With it, one spinlock for all mutexes, held for a time
 * that grows with the number of tasks which wait for mutexes.
 *
 * Safe at any instruction: the intent is the guard's handle, the commit is one store of the task
 * into the mutex. A guard that is unwound lets go what it holds, or leaves the queue.
 * A guard is not moved, and is unlocked by the task that locked it.
 */
#pragma once

#include "parking.h"
#include "spinlock.h"

struct OWN_LOCK("mutex") mutex {
    uintptr_t owner;      /* the task, and MUTEX_WAITED; 0: nobody. Atomic */
    struct mutex **guard; /* of the owner; NULL for a moment while it changes */
    const char *name;     /* mutexes of one name are of one kind */
};
OWN_DECLARE_LOCK(mutex);

#define MUTEX_WAITED     ((uintptr_t)1) /* somebody may wait: to let go is to hand over */
#define MUTEX_INIT(text) ((struct mutex){.name = (text)})

/* Waits until it has the mutex. A deadlock is logged, and then traps: there is no way on. */
CELL_API void mutex_lock(struct mutex *mutex, struct mutex **guard) OWN_LOCKS(*mutex);

/* Takes it if nobody has it: `*guard` is full then, and true is returned. */
CELL_API MUST_CHECK bool mutex_try_lock(struct mutex *mutex, struct mutex **guard)
    OWN_MAY_LOCK(**guard);

/* `*guard` is full if it returns OK. ERR_TIMEOUT at `deadline` (parking.h), ERR_DEADLOCK at once.
 */
CELL_API MUST_CHECK enum status mutex_lock_until(struct mutex *mutex, struct mutex **guard,
                                                 uint64_t deadline);

/* Before the end of the guard's scope. */
#define mutex_unlock(guard) mutex_drop(guard)

/* Does anybody hold it? For assertions: it may be another. */
static inline bool mutex_is_held(const struct mutex *mutex)
{
    return __atomic_load_n(&mutex->owner, __ATOMIC_RELAXED) != 0;
}

/* Does the task that calls hold it? */
CELL_API bool mutex_is_mine(const struct mutex *mutex);
