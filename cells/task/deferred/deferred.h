/* SPDX-License-Identifier: MIT */
/*
 * deferred.h - work that interrupt handlers leave to a task.
 *
 * Why: a handler holds up whatever was interrupted, and may neither wait nor take most locks. So it
 * says only that there is work, and a task does it. Nothing may be lost on the way: not when the
 * work faults or its task is killed in the middle, and not when an interrupt comes while the work
 * of the last one is being done.
 *
 * Rules: a *work* is a function and its context, made beforehand, in one queue for good. A *queue* has
 * a task, which does what was pushed, in that order, one at a time. Pushing is for any context: it takes no
 * lock and does not allocate; all else is for tasks. What is pushed before the function begins is one
 * call, which is told how many pushes it answers; what is pushed after it has begun is answered by
 * another call.
 * A function that does not return OK, that faults (catch.h), or whose task is killed, is called again,
 * first of all; after DEFERRED_ATTEMPTS calls the work is given up: its pushes are counted as failed, the
 * log says so, and it may be pushed again.
 * A work is dropped after what pushes it; its drop waits until it is neither queued nor done. It does not
 * drop itself, nor its queue. The drop of a queue waits until everything is done that was pushed before,
 * if its task lives; what is pushed meanwhile is done or refused, and works that are left may be dropped
 * after it.
 *
 *      status = deferred_queue_create("disk", NULL, SLOT(queue));
 *      status = deferred_work_create(REF(queue), read_blocks, disk, SLOT(work));
 *      status = interrupt_register_any("disk", on_interrupt, REF(work), SLOT(interrupt));
 *      in on_interrupt(void *work): status = deferred_work_push(work);
 *
 * Faults of the task of a queue outside of a work's function: it goes on, as a service does (task.h), and loses
 * nothing. Kills: of the task of a queue, at whichever instruction, lose nothing, once deferred_queue_restart()
 * has given the queue another one; until then the drops of queued works wait. A create or a drop that is
 * interrupted has happened, or has not.
 */
#pragma once

#include "task.h"

#define DEFERRED_ATTEMPTS     3u /* one may be chance, two may be bad luck */
#define DEFERRED_RESTARTS_MAX 7u /* df_queue.h: it knows eight tasks at most */

struct OWN_CAPABILITY("deferred queue") deferred_queue;
OWN_DECLARE(deferred_queue);
struct OWN_CAPABILITY("deferred work") deferred_work;
OWN_DECLARE(deferred_work);

/* In the task of the queue, with everything enabled. `pushes` is 1 or more. */
typedef enum status (*deferred_function_t)(void *context, uint64_t pushes);

/*
 * `name` is borrowed, and the task's name; `options` are the task's (its own name excepted), or NULL.
 * ERR_NO_MEMORY, or as task_spawn().
 */
CELL_API enum status deferred_queue_create(const char *name, const struct task_options *options,
                                           struct deferred_queue **out) OWN_ACQUIRES(**out);

/*
 * Another task for a queue whose task was killed. ERR_STATE while it lives; ERR_LIMIT after
 * DEFERRED_RESTARTS_MAX; or as task_spawn(). By one caller at a time.
 */
CELL_API MUST_CHECK enum status deferred_queue_restart(struct deferred_queue *queue,
                                                       const struct task_options *options)
    OWN_BORROWS(*queue);

/* ERR_NO_MEMORY. */
CELL_API enum status deferred_work_create(struct deferred_queue *queue,
                                          deferred_function_t function, void *context,
                                          struct deferred_work **out) OWN_BORROWS(*queue)
    OWN_ACQUIRES(**out);

/* Any context. ERR_CLOSED: the queue is gone. */
CELL_API MUST_CHECK enum status deferred_work_push(struct deferred_work *work) OWN_BORROWS(*work);

/* How many pushes were given up. */
CELL_API uint64_t deferred_work_failures(const struct deferred_work *work) OWN_BORROWS(*work);
