/* SPDX-License-Identifier: MIT */
/*
 * All tasks but the idle ones and the boot task, newest first. A record is freed after it has left:
 * who looks holds the lock.
 *
 * `next` says who is in the list, so a record enters and leaves it by one store. Links back only find that
 * store's place: where somebody was struck in a change, who changes the list next makes them anew.
 */
#include "commit.h"
#include "freestanding.h"
#include "task_priv.h"

static struct spinlock lock = {.name = "all tasks"};
static struct task_record *first; /* with the lock, these three */
static uint64_t spawned;
static bool changes; /* links back may be wrong */

static NOINLINE void mend_links(void)
{
    struct task_record **link = &first;
    for (; *link; link = &(*link)->next) {
        (*link)->link = link;
    }
}

static inline void begin_change(void)
{
    if (UNLIKELY(changes)) {
        mend_links();
    }
    COMPILER_BARRIER();
    changes = true;
    COMPILER_BARRIER();
}

static inline void end_change(void)
{
    COMPILER_BARRIER();
    changes = false;
}

void task_list_add(struct task_record *record)
{
    GUARD(spinlock, held, &lock);
    begin_change();
    record->next = first;
    commit_two(&first, record, &spawned, spawned + 1);
    record->link = &first;
    if (record->next) {
        record->next->link = &record->next;
    }
    end_change();
}

void task_list_remove(struct task_record *record)
{
    GUARD(spinlock, held, &lock);
    begin_change();
    if (record->link) {
        *record->link = record->next;
        COMPILER_BARRIER();
        if (record->next) {
            record->next->link = record->link;
        }
        record->link = NULL;
    }
    end_change();
}

uint64_t task_list_count(void)
{
    GUARD(spinlock, held, &lock);
    uint64_t count = 0;
    for (const struct task_record *at = first; at; at = at->next) {
        count++;
    }
    return count;
}

uint64_t task_list_spawned(void)
{
    return __atomic_load_n(&spawned, __ATOMIC_RELAXED);
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

/* One that has not begun may be given up with all its references by who spawns it. */
static bool get_unless_freed(struct task *task, struct task_handle **out)
{
    uint64_t known = task->has_begun ? __atomic_load_n(&task->references, __ATOMIC_RELAXED) : 0;
    while (known && !commit_exchange(&task->references, known, known + 1, out, task)) {
        known = __atomic_load_n(&task->references, __ATOMIC_RELAXED);
    }
    return known != 0;
}

bool task_list_get(uint64_t id, struct task_handle **out)
{
    GUARD(spinlock, held, &lock);
    for (struct task_record *at = first; at && at->task.id >= id; at = at->next) {
        if (at->task.id == id) {
            return get_unless_freed(&at->task, out);
        }
    }
    return false;
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
