/* SPDX-License-Identifier: MIT */
/*
 * A binary heap of (priority, order of arrival), so that equals take turns. The priority is that at
 * the time of arrival: who changes it removes the task and adds it again.
 */
#include "heap.h"
#include "scheduler.h"

CELL(library, "1.0.0");

#define SMALLEST_CAPACITY 16u
#define LARGEST_CAPACITY  (1u << 24) /* tasks; their stacks alone would be 256 GiB */
#define ARRIVAL_BITS      56         /* at 10^9 arrivals a second enough for two years */

struct entry {
    uint64_t rank; /* the smallest runs next: inverted priority above the arrival's number */
    struct task *task;
};

struct run_queue {
    size_t count;
    size_t capacity;
    uint64_t arrivals;
    struct entry entries[]; /* the children of i are 2i + 1 and 2i + 2, with larger ranks */
};

enum status run_queue_create(size_t capacity, struct run_queue **out)
{
    if (capacity > LARGEST_CAPACITY) {
        return ERR_OVERFLOW;
    }
    capacity = capacity < SMALLEST_CAPACITY ? SMALLEST_CAPACITY : capacity;
    struct run_queue *queue = heap_allocate(sizeof(*queue) + capacity * sizeof(queue->entries[0]));
    if (!queue) {
        return ERR_NO_MEMORY;
    }
    queue->count = 0;
    queue->capacity = capacity;
    queue->arrivals = 0;
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
    return queue->capacity;
}

size_t run_queue_count(const struct run_queue *queue)
{
    return queue->count;
}

/* Puts the entry at the free place `at` or nearer to the root. */
static void sift_up(struct run_queue *queue, size_t at, struct entry entry)
{
    while (at > 0 && queue->entries[(at - 1) / 2].rank > entry.rank) {
        queue->entries[at] = queue->entries[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    queue->entries[at] = entry;
}

/* Puts the entry at the free place `at` or farther from the root. */
static void sift_down(struct run_queue *queue, size_t at, struct entry entry)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= queue->count) {
            break;
        }
        if (child + 1 < queue->count &&
            queue->entries[child + 1].rank < queue->entries[child].rank) {
            child++;
        }
        if (queue->entries[child].rank >= entry.rank) {
            break;
        }
        queue->entries[at] = queue->entries[child];
        at = child;
    }
    queue->entries[at] = entry;
}

void run_queue_add(struct run_queue *queue, struct task *task)
{
    uint64_t inverted = TASK_PRIORITIES - 1 - task_state_priority(task);
    struct entry entry = {inverted << ARRIVAL_BITS | queue->arrivals++, task};
    sift_up(queue, queue->count++, entry);
}

static struct task *take_out(struct run_queue *queue, size_t at)
{
    struct task *task = queue->entries[at].task;
    struct entry last = queue->entries[--queue->count];
    if (at < queue->count) {
        if (at > 0 && queue->entries[(at - 1) / 2].rank > last.rank) {
            sift_up(queue, at, last);
        } else {
            sift_down(queue, at, last);
        }
    }
    return task;
}

struct task *run_queue_take(struct run_queue *queue)
{
    return queue->count ? take_out(queue, 0) : NULL;
}

struct task *run_queue_give(struct run_queue *queue)
{
    size_t found = queue->count;
    for (size_t i = 0; i < queue->count; i++) {
        if (!queue->entries[i].task->is_pinned &&
            (found == queue->count || queue->entries[i].rank > queue->entries[found].rank)) {
            found = i;
        }
    }
    return found < queue->count ? take_out(queue, found) : NULL;
}

bool run_queue_remove(struct run_queue *queue, const struct task *task)
{
    for (size_t i = 0; i < queue->count; i++) {
        if (queue->entries[i].task == task) {
            take_out(queue, i);
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
    return task_state_priority(ready) > task_state_priority(running);
}

const char *run_queue_policy(void)
{
    return "priority";
}
