/* SPDX-License-Identifier: MIT */
/*
 * scheduler.h - which task runs next.
 *
 * Why: a policy is an order among tasks that are ready, nothing more. It is kept apart from the
 * mechanism (dispatcher.h), so that it can be chosen at boot and replaced while tasks run. The
 * queue holds pointers to tasks in memory of its own: tasks have no fields for it.
 *
 * Rules: one queue for each CPU, locked by its dispatcher, which keeps a task that is ready alone beside the empty
 * queue; only creation and drop allocate, everything else may run in an interrupt handler. A task is in at most one queue. Implementations:
 * scheduler_round_robin (every task in turn), scheduler_priority (the highest priority first, in turn
 * among equals).
 */
#pragma once

#include "own.h"
#include "task_state.h"

struct OWN_CAPABILITY("run queue") run_queue;
OWN_DECLARE(run_queue);

/* An empty queue with room for `capacity` tasks, at least. ERR_NO_MEMORY, ERR_OVERFLOW. */
CELL_API enum status run_queue_create(size_t capacity, struct run_queue **out) OWN_ACQUIRES(**out);

/* How many it has room for; how many are in it. */
CELL_API size_t run_queue_capacity(const struct run_queue *queue) OWN_BORROWS(*queue);
CELL_API size_t run_queue_count(const struct run_queue *queue) OWN_BORROWS(*queue);

/* There must be room. */
CELL_API void run_queue_add(struct run_queue *queue, struct task *task) OWN_BORROWS(*queue);

/*
 * Takes the task that runs next out of the queue; NULL from an empty one. It is stored into *out just before
 * it leaves the queue.
 */
CELL_API struct task *run_queue_take(struct run_queue *queue, struct task **out)
    OWN_BORROWS(*queue);

/* The same for another CPU: the last in order that is not pinned; NULL if there is none. */
CELL_API struct task *run_queue_give(struct run_queue *queue, struct task **out)
    OWN_BORROWS(*queue);

/* Takes this one out; false if it is not in. O(count). */
CELL_API bool run_queue_remove(struct run_queue *queue, const struct task *task)
    OWN_BORROWS(*queue);

/* Copies all tasks of `from`, in their order, to `queue`, which is empty, has room, and takes its place. */
CELL_API void run_queue_inherit(struct run_queue *queue, const struct run_queue *from)
    OWN_BORROWS(*queue) OWN_BORROWS(*from);

/* The tasks by number, 0 .. count - 1, in no certain order. */
CELL_API struct task *run_queue_at(const struct run_queue *queue, size_t index) OWN_BORROWS(*queue);

/*
 * After a change that was struck at any of its instructions: makes the queue whole. What was to be added or
 * removed is in it or not; of all others each is in it once.
 */
CELL_API void run_queue_repair(struct run_queue *queue) OWN_BORROWS(*queue);

/* Should `ready` run at once, at the cost of `running`? Not asked about idle tasks, nor about two of the same
 * rank (task_state.h), which take turns. */
CELL_API bool run_queue_preempts(const struct task *ready, const struct task *running);

/* "round robin". */
CELL_API const char *run_queue_policy(void);
