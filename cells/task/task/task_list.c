/* SPDX-License-Identifier: MIT */
/*
 * All tasks but the idle ones and the boot task, newest first. A record is freed after it has left: who
 * looks holds the lock.
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
    uint32_t known = __atomic_load_n(&task->references, __ATOMIC_RELAXED);
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
 * The boot task is older than all in the list. Newest first means that numbers fall, so the last one above
 * `after` is the smallest.
 */
bool task_next(uint64_t after, struct task_information *out)
{
    const struct task *boot_task = dispatcher_boot_task();
    if (boot_task && boot_task->id > after) {
        task_describe(boot_task, out);
        return true;
    }
    GUARD(spinlock, held, &lock);
    const struct task_record *found = NULL;
    for (const struct task_record *at = first; at && at->task.id > after; at = at->next) {
        found = at;
    }
    if (!found) {
        return false;
    }
    task_describe(&found->task, out);
    return true;
}
