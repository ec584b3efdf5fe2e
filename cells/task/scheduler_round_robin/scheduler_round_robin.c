/* SPDX-License-Identifier: MIT */
/*
 * A ring of pointers. `head` and `tail` only grow; their difference is the count, and the low bits are
 * the index. Every change ends with one store of one of them, and before that every task is in the
 * ring as often as it was.
 */
#include "commit.h"
#include "heap_block.h"
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

enum status run_queue_create(size_t capacity, struct run_queue **out) OWN_UNCHECKED
{
    if (capacity > LARGEST_CAPACITY) {
        return ERR_OVERFLOW;
    }
    size_t rounded = SMALLEST_CAPACITY;
    while (rounded < capacity) {
        rounded *= 2;
    }
    OWNED(heap_block, block);
    if (!heap_block_take(sizeof(struct run_queue) + rounded * sizeof(struct task *), SLOT(block))) {
        return ERR_NO_MEMORY;
    }
    struct run_queue *queue = heap_block_of(*SLOT(block));
    queue->head = 0;
    queue->tail = 0;
    queue->mask = (uint32_t)rounded - 1;
    commit_two(out, queue, SLOT(block), NULL);
    return OK;
}

void run_queue_drop(struct run_queue **handle)
{
    if (*handle) {
        heap_block_give_thing(handle);
    }
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
    COMPILER_BARRIER();
    queue->tail++;
}

struct task *run_queue_take(struct run_queue *queue, struct task **out)
{
    if (queue->head == queue->tail) {
        return NULL;
    }
    struct task *task = queue->tasks[queue->head & queue->mask];
    *out = task;
    COMPILER_BARRIER();
    queue->head++;
    return task;
}

/* Lets what is behind `position` pass, one by one, and leaves it out as the last. */
static void take_out(struct run_queue *queue, uint32_t position)
{
    for (uint32_t at = position; at + 1 != queue->tail; at++) {
        struct task **here = &queue->tasks[at & queue->mask];
        struct task **behind = &queue->tasks[(at + 1) & queue->mask];
        commit_two(here, *behind, behind, *here);
    }
    queue->tail--;
}

struct task *run_queue_give(struct run_queue *queue, struct task **out)
{
    for (uint32_t at = queue->tail; at != queue->head; at--) {
        struct task *task = queue->tasks[(at - 1) & queue->mask];
        if (!task->is_pinned) {
            *out = task;
            COMPILER_BARRIER();
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

void run_queue_inherit(struct run_queue *queue, const struct run_queue *from)
{
    for (uint32_t at = from->head; at != from->tail; at++) {
        run_queue_add(queue, from->tasks[at & from->mask]);
    }
}

struct task *run_queue_at(const struct run_queue *queue, size_t index)
{
    return queue->tasks[(queue->head + (uint32_t)index) & queue->mask];
}

void run_queue_repair(struct run_queue *queue)
{
    (void)queue; /* it is whole at every instruction */
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
