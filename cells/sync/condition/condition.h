/* SPDX-License-Identifier: MIT */
/*
 * condition.h - waiting until what a mutex protects has changed.
 *
 * Why: who holds a mutex and finds that there is nothing to do yet must let it go and wait as one
 * step: else the change comes in between, and nobody wakes him.
 *
 * Rules: tasks only. The mutex is always the same one; who waits holds it, and nothing else that
 * who changes the state needs. Who wakes holds it too, or has held it since the change. A wait may
 * end for no reason, so it stands in a loop over the state. Memory that is all zeros is a condition
 * without a name. The oldest waiter is woken first; to go on it waits for the mutex like everybody
 * (mutex.h). Killed at any instruction: a waiter leaves, and if it had been woken it wakes the next
 * in its place. Who changed the state and is killed before it wakes has not woken: what must not
 * happen belongs into a drop.
 *
 *      GUARD(mutex, held, &queue->mutex);
 *      while (!queue->count) {
 *          status = condition_wait(&queue->not_empty, SLOT(held), deadline);
 *          if (status != OK) { return status; }
 *      }
 */
#pragma once

#include "mutex.h"
#include "wait_queue.h"

struct condition {
    struct spinlock lock;
    struct wait_queue waiters; /* with lock */
};

#define CONDITION_INIT(text) ((struct condition){.lock = {.name = (text)}})

/*
 * `*guard` holds the mutex, here and at the end, whatever is returned; not in between. OK when
 * woken; ERR_TIMEOUT at `deadline` (parking.h), which does not limit the wait for the mutex
 * afterwards; ERR_STATE before there are tasks.
 */
CELL_API MUST_CHECK enum status condition_wait(struct condition *condition, struct mutex **guard,
                                               uint64_t deadline);

/* Wakes the oldest; false if nobody waits. */
CELL_API bool condition_wake_one(struct condition *condition);
/* Wakes all; returns how many. */
CELL_API size_t condition_wake_all(struct condition *condition);
