/* SPDX-License-Identifier: MIT */
/*
 * A binary heap of (priority, order of arrival), so that equals take turns. The priority is that at
 * the time of arrival: who changes it removes the task and adds it again.
 *
 * While an entry moves it may be nowhere in the array, or there twice, and so may those that it passes: it is
 * kept in `moving` meanwhile. A removal takes the last entry to the place that is free, and counts it in
 * its old one until it is there. So what is in the array or moving is what there is, and numbers of arrival say
 * what is there twice.
 */
#include "commit.h"
#include "heap_block.h"
#include "scheduler.h"
#include "sort.h"

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
    struct entry moving;    /* no task: nothing moves */
    struct entry entries[]; /* the children of i are 2i + 1 and 2i + 2, with larger ranks */
};

enum status run_queue_create(size_t capacity, struct run_queue **out) OWN_UNCHECKED
{
    if (capacity > LARGEST_CAPACITY) {
        return ERR_OVERFLOW;
    }
    capacity = capacity < SMALLEST_CAPACITY ? SMALLEST_CAPACITY : capacity;
    OWNED(heap_block, block);
    if (!heap_block_take(sizeof(struct run_queue) + capacity * sizeof(struct entry), SLOT(block))) {
        return ERR_NO_MEMORY;
    }
    struct run_queue *queue = heap_block_of(*SLOT(block));
    *queue = (struct run_queue){.capacity = capacity};
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
    return queue->capacity;
}

size_t run_queue_count(const struct run_queue *queue)
{
    return queue->count;
}

static void begin_move(struct run_queue *queue, struct entry entry)
{
    queue->moving.rank = entry.rank;
    COMPILER_BARRIER();
    queue->moving.task = entry.task;
    COMPILER_BARRIER();
}

static void end_move(struct run_queue *queue)
{
    COMPILER_BARRIER();
    queue->moving.task = NULL;
    COMPILER_BARRIER();
}

/* In one step: a rank always has its task. */
static void place(struct run_queue *queue, size_t at, struct entry entry)
{
    commit_two(&queue->entries[at].rank, entry.rank, &queue->entries[at].task, entry.task);
}

/* Puts the entry at the free place `at` or nearer to the root. */
static void sift_up(struct run_queue *queue, size_t at, struct entry entry)
{
    while (at > 0 && queue->entries[(at - 1) / 2].rank > entry.rank) {
        place(queue, at, queue->entries[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(queue, at, entry);
}

/* The same, or farther from the root of a heap of `count`. */
static void sift_down(struct run_queue *queue, size_t at, size_t count, struct entry entry)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count) {
            break;
        }
        if (child + 1 < count && queue->entries[child + 1].rank < queue->entries[child].rank) {
            child++;
        }
        if (queue->entries[child].rank >= entry.rank) {
            break;
        }
        place(queue, at, queue->entries[child]);
        at = child;
    }
    place(queue, at, entry);
}

void run_queue_add(struct run_queue *queue, struct task *task)
{
    uint64_t inverted = TASK_PRIORITIES - 1 - task_state_priority(task);
    struct entry entry = {inverted << ARRIVAL_BITS | queue->arrivals++, task};
    begin_move(queue, entry);
    queue->entries[queue->count] = entry;
    COMPILER_BARRIER();
    queue->count++;
    COMPILER_BARRIER();
    sift_up(queue, queue->count - 1, entry);
    end_move(queue);
}

static struct task *take_out(struct run_queue *queue, size_t at)
{
    struct task *task = queue->entries[at].task;
    size_t rest = queue->count - 1;
    struct entry last = queue->entries[rest];
    begin_move(queue, last);
    if (at < rest) {
        if (at > 0 && queue->entries[(at - 1) / 2].rank > last.rank) {
            sift_up(queue, at, last);
        } else {
            sift_down(queue, at, rest, last);
        }
    } else {
        queue->moving.task = NULL; /* it is the one that goes */
    }
    COMPILER_BARRIER();
    queue->count = rest;
    end_move(queue);
    return task;
}

struct task *run_queue_take(struct run_queue *queue, struct task **out)
{
    if (queue->count == 0) {
        return NULL;
    }
    *out = queue->entries[0].task;
    COMPILER_BARRIER();
    return take_out(queue, 0);
}

struct task *run_queue_give(struct run_queue *queue, struct task **out)
{
    size_t found = queue->count;
    for (size_t i = 0; i < queue->count; i++) {
        if (!queue->entries[i].task->is_pinned &&
            (found == queue->count || queue->entries[i].rank > queue->entries[found].rank)) {
            found = i;
        }
    }
    if (found == queue->count) {
        return NULL;
    }
    *out = queue->entries[found].task;
    COMPILER_BARRIER();
    return take_out(queue, found);
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

/* A copy of a heap is one, and the ranks stay. */
void run_queue_inherit(struct run_queue *queue, const struct run_queue *from)
{
    for (size_t i = 0; i < from->count; i++) {
        queue->entries[i] = from->entries[i];
    }
    queue->arrivals = from->arrivals;
    queue->count = from->count;
}

struct task *run_queue_at(const struct run_queue *queue, size_t index)
{
    return queue->entries[index].task;
}

static bool comes_before(const void *a, const void *b)
{
    return ((const struct entry *)a)->rank < ((const struct entry *)b)->rank;
}

/* In the order of their ranks they are a heap. */
void run_queue_repair(struct run_queue *queue)
{
    if (!queue->moving.task) {
        return;
    }
    if (queue->count < queue->capacity) {
        queue->entries[queue->count++] = queue->moving;
    } else {
        /* Full: the last one is this one, or has been it. */
        queue->entries[queue->count - 1] = queue->moving;
    }
    sort_array(queue->entries, queue->count, sizeof(queue->entries[0]), comes_before);
    size_t count = 0;
    for (size_t i = 0; i < queue->count; i++) {
        if (count == 0 || queue->entries[count - 1].rank != queue->entries[i].rank) {
            queue->entries[count++] = queue->entries[i];
        }
    }
    queue->count = count;
    end_move(queue);
}

bool run_queue_preempts(const struct task *ready, const struct task *running)
{
    return task_state_priority(ready) > task_state_priority(running);
}

const char *run_queue_policy(void)
{
    return "priority";
}
