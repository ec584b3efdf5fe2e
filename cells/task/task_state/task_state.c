/* SPDX-License-Identifier: MIT */
#include "task_state.h"

CELL(library, "1.0.0");

static const char *const names[TASK_RUNSTATES] = {
    [TASK_READY] = "ready",
    [TASK_RUNNING] = "running",
    [TASK_BLOCKED] = "blocked",
    [TASK_ENDED] = "ended",
};

static const bool ways[TASK_RUNSTATES][TASK_RUNSTATES] = {
    [TASK_READY] = {[TASK_RUNNING] = true},
    [TASK_RUNNING] = {[TASK_READY] = true, [TASK_BLOCKED] = true, [TASK_ENDED] = true},
    [TASK_BLOCKED] = {[TASK_READY] = true, [TASK_RUNNING] = true},
};

bool task_state_may_go(enum task_runstate from, enum task_runstate to)
{
    return from < TASK_RUNSTATES && to < TASK_RUNSTATES && ways[from][to];
}

const char *task_state_name(enum task_runstate state)
{
    return state < TASK_RUNSTATES ? names[state] : "?";
}

void task_state_init(struct task *task, const char *name, unsigned priority, uint32_t home)
{
    static uint64_t last_id; /* atomically */
    task->state = TASK_READY;
    task->home = (uint16_t)home;
    task->priority = (uint8_t)priority;
    task->references = 1;
    task->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
    task->lock.name = "task";
    size_t length = 0;
    for (; length < TASK_NAME_SIZE - 1 && name[length]; length++) {
        task->name[length] = name[length];
    }
    task->name[length] = '\0';
}
