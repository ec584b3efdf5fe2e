/* SPDX-License-Identifier: MIT */
/*
 * All tasks but the idle ones and the boot task, newest first. A record is freed after it has left:
 * who looks holds the lock.
 */
#include "freestanding.h"
#include "task_priv.h"

static struct spinlock lock = {.name = "all tasks"};
static struct task_record *first; /* with the lock, these two */
static uint64_t count;

void task_list_add(struct task_record *record)
{
    GUARD(spinlock, held, &lock);
    record->next = first;
    record->previous = NULL;
    if (first) {
        first->previous = record;
    }
    COMPILER_BARRIER(); /* task_after() may interrupt here: it follows `next` only */
    first = record;
    record->is_listed = true;
    count++;
}

void task_list_remove(struct task_record *record)
{
    GUARD(spinlock, held, &lock);
    if (!record->is_listed) {
        return;
    }
    if (record->previous) {
        record->previous->next = record->next;
    } else {
        first = record->next;
    }
    if (record->next) {
        record->next->previous = record->previous;
    }
    record->is_listed = false;
    count--;
}

uint64_t task_list_count(void)
{
    return __atomic_load_n(&count, __ATOMIC_RELAXED);
}

void task_list_find_in_cell(const struct cell *cell, char name[TASK_NAME_SIZE])
{
    GUARD(spinlock, held, &lock);
    name[0] = '\0';
    for (const struct task_record *at = first; at; at = at->next) {
        if (at->cell == cell) {
            memcpy(name, at->task.name, sizeof(at->task.name));
            return;
        }
    }
}

static bool get_unless_freed(struct task *task)
{
    uint64_t known = __atomic_load_n(&task->references, __ATOMIC_RELAXED);
    while (known && !__atomic_compare_exchange_n(&task->references, &known, known + 1, false,
                                                 __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return known != 0;
}

struct task *task_list_get(uint64_t id)
{
    GUARD(spinlock, held, &lock);
    for (struct task_record *at = first; at && at->task.id >= id; at = at->next) {
        if (at->task.id == id) {
            return get_unless_freed(&at->task) ? &at->task : NULL;
        }
    }
    return NULL;
}

const struct task *task_after(const struct task *task)
{
    const struct task *boot_task = dispatcher_boot_task();
    const struct task_record *next;
    if (!task && boot_task) {
        return boot_task;
    }
    next = !task || task == boot_task ? first : ((const struct task_record *)task)->next;
    return next ? &next->task : NULL;
}

/* The one with the smallest number above `after`. The lock is held. */
static const struct task *find_above(uint64_t after)
{
    const struct task_record *found = NULL;
    for (const struct task_record *at = first; at && at->task.id > after; at = at->next) {
        found = at;
    }
    return found ? &found->task : NULL;
}

uint64_t task_look(uint64_t after, void (*look)(const struct task *task, void *context),
                   void *context, bool *out_runs, uint32_t *out_cpu)
{
    const struct task *boot_task = dispatcher_boot_task();
    GUARD(spinlock, held, &lock);
    const struct task *task = boot_task && boot_task->id > after ? boot_task : find_above(after);
    if (!task) {
        return 0;
    }
    *out_runs = !dispatcher_look(task, look, context, out_cpu);
    return task->id;
}

void task_describe(const struct task *task, struct task_information *out)
{
    struct parking_reason reason = {0};
    (void)parking_reason(task, &reason);
    *out = (struct task_information){
        .id = task->id,
        .state = task->state,
        .end = task->end,
        .priority = task_state_priority(task),
        .cpu = task->home,
        .is_pinned = task->is_pinned,
        .waits_for = reason.what,
    };
    memcpy(out->name, task->name, sizeof(out->name));
}

/*
 * The boot task is older than all in the list. Newest first means that numbers fall, so the last
 * one above `after` is the smallest.
 */
bool task_next(uint64_t after, struct task_information *out)
{
    const struct task *boot_task = dispatcher_boot_task();
    if (boot_task && boot_task->id > after) {
        task_describe(boot_task, out);
        return true;
    }
    GUARD(spinlock, held, &lock);
    const struct task *found = find_above(after);
    if (!found) {
        return false;
    }
    task_describe(found, out);
    return true;
}
