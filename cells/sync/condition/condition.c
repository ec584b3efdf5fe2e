/* SPDX-License-Identifier: MIT */
/*
 * The condition's spinlock is taken before the mutex is let go and is held until the waiter is in
 * the queue. Who changes the state has to pass the mutex, and who wakes the spinlock: so he finds
 * the waiter.
 */
#include "condition.h"

CELL(library, "1.0.0");

/* The mutex is let go on the way; clang cannot follow a guard that is lent. */
static enum status let_go_and_wait(struct condition *condition, struct mutex **guard,
                                   uint64_t deadline) OWN_UNCHECKED
{
    const struct parking_reason reason = {.what = "condition", .object = condition};
    GUARD(spinlock, held, &condition->lock);
    mutex_unlock(guard);
    return wait_queue_wait(&condition->waiters, SLOT(held), deadline, &reason, NULL);
}

enum status condition_wait(struct condition *condition, struct mutex **guard,
                           uint64_t deadline) OWN_UNCHECKED
{
    struct mutex *mutex = *guard;
    enum status status = let_go_and_wait(condition, guard, deadline);
    mutex_lock(mutex, guard);
    return status;
}

bool condition_wake_one(struct condition *condition)
{
    GUARD(spinlock, held, &condition->lock);
    return wait_queue_wake_one(&condition->waiters);
}

size_t condition_wake_all(struct condition *condition)
{
    GUARD(spinlock, held, &condition->lock);
    return wait_queue_wake_all(&condition->waiters);
}
