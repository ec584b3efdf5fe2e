/* SPDX-License-Identifier: MIT */
/*
 * A ring of pointers. `head` and `tail` only grow; their difference is the count, and the low bits are
 * the index.
 */
#include "heap.h"
#include "scheduler.h"

CELL(library, "1.0.0");

#define SMALLEST_CAPACITY 16u
#define LARGEST_CAPACITY  (1u << 24) /* tasks; their stacks alone would be 256 GiB */

struct run_queue {
    uint32_t head; /* the next to run */
    uint32_t tail; /* where the next is added */
    uint32_t mask; /* capacity - 1 */
    struct task *tasks[];
};

enum status run_queue_create(size_t capacity, struct run_queue **out)
{
    if (capacity > LARGEST_CAPACITY) {
        return ERR_OVERFLOW;
    }
    size_t rounded = SMALLEST_CAPACITY;
    while (rounded < capacity) {
        rounded *= 2;
    }
    struct run_queue *queue = heap_allocate(sizeof(*queue) + rounded * sizeof(queue->tasks[0]));
    if (!queue) {
        return ERR_NO_MEMORY;
    }
    queue->head = 0;
    queue->tail = 0;
    queue->mask = (uint32_t)rounded - 1;
    FILL(out, queue);
    return OK;
}

void run_queue_drop(struct run_queue **handle)
{
    heap_free(*handle);
    EMPTY(handle);
}

size_t run_queue_capacity(const struct run_queue *queue)
{
    return queue->mask + 1;
}

size_t run_queue_count(const struct run_queue *queue)
{
    return queue->tail - queue->head;
}

void run_queue_add(struct run_queue *queue, struct task *task)
{
    queue->tasks[queue->tail & queue->mask] = task;
    queue->tail++;
}

struct task *run_queue_take(struct run_queue *queue)
{
    if (queue->head == queue->tail) {
        return NULL;
    }
    struct task *task = queue->tasks[queue->head & queue->mask];
    queue->head++;
    return task;
}

/* Closes the gap at `position` by moving up what is behind it. */
static void take_out(struct run_queue *queue, uint32_t position)
{
    for (uint32_t at = position; at + 1 != queue->tail; at++) {
        queue->tasks[at & queue->mask] = queue->tasks[(at + 1) & queue->mask];
    }
    queue->tail--;
}

struct task *run_queue_give(struct run_queue *queue)
{
    for (uint32_t at = queue->tail; at != queue->head; at--) {
        struct task *task = queue->tasks[(at - 1) & queue->mask];
        if (!task->is_pinned) {
            take_out(queue, at - 1);
            return task;
        }
    }
    return NULL;
}

bool run_queue_remove(struct run_queue *queue, const struct task *task)
{
    for (uint32_t at = queue->head; at != queue->tail; at++) {
        if (queue->tasks[at & queue->mask] == task) {
            take_out(queue, at);
            return true;
        }
    }
    return false;
}

void run_queue_inherit(struct run_queue *queue, struct run_queue *from)
{
    struct task *task;
    while ((task = run_queue_take(from))) {
        run_queue_add(queue, task);
    }
}

bool run_queue_preempts(const struct task *ready, const struct task *running)
{
    (void)ready;
    (void)running;
    return false; /* everyone waits for its turn */
}

const char *run_queue_policy(void)
{
    return "round robin";
}
