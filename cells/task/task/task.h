/* SPDX-License-Identifier: MIT */
/*
 * task.h - functions that run beside each other, from spawn to join.
 *
 * Why: what a task is given and what it returns keep their types all the way: the compiler checks
 * the entry function, the argument and the result at spawn and at join alike (T.1 of the OSDI
 * paper). A task that has been spawned is owned by a handle. Its states are released in stages
 * (T.2): the stack and the context when it has ended, its result and record with the last who knows
 * of it. A fault in a task ends that task alone: what it owns is released, and who joins it is told
 * (catch.h). So does a kill, which may come from anybody at any time.
 *
 *      static uint64_t count(struct range *range);
 *      TASK_DEFINE(counter, struct range, uint64_t, count)
 *
 *      OWNED(counter_task, task);
 *      status = counter_spawn(&(struct range){1, 9}, NULL, SLOT(task));
 *      if (status != OK) { return status; }
 *      uint64_t sum;
 *      status = counter_join(SLOT(task), &sum);
 *
 * Safe at any instruction: a fault or a kill in one of these functions loses nothing. A task is not there,
 * and what was made of it is released, or it runs once; its end is told once to who joins it. That holds from
 * the first instruction of a task to its last: who makes it makes its outermost catch point (catch_base()).
 * Whatever fails in its end is tried three times; then it ends without what its argument owns, and at last
 * without telling anybody.
 *
 * Rules: in tasks only, from dispatcher_start() on. Arguments and results are copied, so they must not
 * point into the spawner's stack unless it joins first. A handle that is dropped lets the task go on
 * alone. While a task is on its stack, the cell of its TASK_DEFINE and all that this one needs cannot be
 * unloaded; for a moment after the join it may still be there. Spawning reuses stacks of tasks that have ended here; TASK_STACKS_KEPT at most are kept.
 */
#pragma once

#include "dispatcher.h"
#include "own.h"

#define TASK_STACK_SIZE   16384u /* what a task gets that does not ask */
#define TASK_STACKS_KEPT  8u     /* beside those of the dead, which are taken first */
#define TASK_ARGUMENT_MAX 4096u  /* bytes, of argument or result */
#define TASK_RESTARTS_MAX 32u    /* of a service, since it was spawned */

struct task_options {
    const char *name;   /* copied; NULL: that of the TASK_DEFINE */
    size_t stack_bytes; /* 0: TASK_STACK_SIZE */
    unsigned priority;  /* 1 .. TASK_PRIORITIES - 1; 0: TASK_PRIORITY_BASE */
    bool is_pinned;     /* to `cpu` for good */
    uint32_t cpu;       /* where it begins if it is pinned */
    bool is_service;    /* after a fault its entry begins anew, TASK_RESTARTS_MAX times */
};

/* A task as its spawner owns it; the typed handles of TASK_DEFINE are this underneath. */
struct OWN_CAPABILITY("task handle") task_handle;
OWN_DECLARE(task_handle);

/*
 * Makes `struct NAME_task`, an owned handle, and NAME_spawn(), NAME_join(). `function` is
 * `result_t function(argument_t *argument)`; the argument is the task's own copy.
 */
#define TASK_DEFINE(name, argument_t, result_t, function)                                         \
    TASK_DEFINE_TYPES_(name, argument_t, result_t, function);                                     \
    /* Errors of task_spawn(). */                                                                 \
    UNUSED static enum status name##_spawn(argument_t const *argument,                            \
                                           const struct task_options *options,                    \
                                           struct name##_task **out) OWN_ACQUIRES(**out);         \
    static enum status name##_spawn(argument_t const *argument,                                   \
                                    const struct task_options *options, struct name##_task **out) \
        OWN_UNCHECKED                                                                             \
    {                                                                                             \
        static const struct task_plan plan = {#name, name##_task_run, sizeof(argument_t),         \
                                              sizeof(result_t), NULL};                            \
        return task_spawn(&plan, argument, options, (struct task_handle **)out);                  \
    }                                                                                             \
    struct name##_task /* the semicolon ends this */

/*
 * The same for an argument that owns: `argument_t` is a structure that is owned as one thing (own.h), by
 * `drop_function`, whose name is that of the structure and `_drop`. NAME_spawn(SLOT(argument), ..) takes it from
 * its owner, in one step in which it becomes the task's: if it says OK, and nothing happens to it otherwise.
 * `function` LOADs what it wants to give away or to drop early. In the end, whether the function has returned,
 * failed, was killed, or was never begun, the task's own is dropped.
 */
#define TASK_DEFINE_OWNING(name, argument_t, result_t, function, drop_function)                  \
    static void name##_task_drop_argument(void **argument)                                       \
    {                                                                                            \
        void (*drop)(argument_t **) = drop_function; /* the compiler compares */                 \
        drop((argument_t **)argument);                                                           \
    }                                                                                            \
    TASK_DEFINE_TYPES_(name, argument_t, result_t, function);                                    \
    /* Errors of task_spawn(). */                                                                \
    UNUSED static enum status name##_spawn(argument_t **argument,                                \
                                           const struct task_options *options,                   \
                                           struct name##_task **out) OWN_ACQUIRES(**out);        \
    static enum status name##_spawn(argument_t **argument, const struct task_options *options,   \
                                    struct name##_task **out) OWN_UNCHECKED                      \
    {                                                                                            \
        static const struct task_plan plan = {#name, name##_task_run, sizeof(argument_t),        \
                                              sizeof(result_t), name##_task_drop_argument};      \
        return task_spawn_owning(&plan, (void **)argument, options, (struct task_handle **)out); \
    }                                                                                            \
    struct name##_task /* the semicolon ends this */

#define TASK_DEFINE_TYPES_(name, argument_t, result_t, function)                                  \
    struct OWN_CAPABILITY("task handle") name##_task;                                             \
    OWN_DECLARE_LOCAL(name##_task);                                                               \
    static void name##_task_drop(struct name##_task **handle)                                     \
    {                                                                                             \
        task_handle_drop((struct task_handle **)handle);                                          \
    }                                                                                             \
    static void name##_task_run(void *argument, void *out_result)                                 \
    {                                                                                             \
        result_t (*entry)(argument_t *) = function; /* the compiler compares */                   \
        *(result_t *)out_result = entry((argument_t *)argument);                                  \
    }                                                                                             \
    /* Waits for its end; the result is written if this says OK. Errors of task_join(). */        \
    UNUSED static enum status name##_join(struct name##_task **task, result_t *out_result)        \
        OWN_CONSUMES(**task);                                                                     \
    static enum status name##_join(struct name##_task **task, result_t *out_result) OWN_UNCHECKED \
    {                                                                                             \
        return task_join((struct task_handle **)task, out_result);                                \
    }                                                                                             \
    /* Waits for its end or until the deadline (parking.h): ERR_TIMEOUT. */                       \
    UNUSED static enum status name##_wait(struct name##_task *task, uint64_t deadline)            \
        OWN_BORROWS(*task);                                                                       \
    static enum status name##_wait(struct name##_task *task, uint64_t deadline) OWN_UNCHECKED     \
    {                                                                                             \
        return task_wait((struct task_handle *)task, deadline);                                   \
    }                                                                                             \
    /* See task_kill(). */                                                                        \
    UNUSED static void name##_kill(struct name##_task *task) OWN_BORROWS(*task);                  \
    static void name##_kill(struct name##_task *task) OWN_UNCHECKED                               \
    {                                                                                             \
        task_kill((struct task_handle *)task);                                                    \
    }                                                                                             \
    /* See task_kill_wait(). */                                                                   \
    UNUSED static enum status name##_kill_wait(struct name##_task *task, uint64_t limit_ns,       \
                                               struct task_kill_report *out_report)               \
        OWN_BORROWS(*task);                                                                       \
    static enum status name##_kill_wait(struct name##_task *task, uint64_t limit_ns,              \
                                        struct task_kill_report *out_report) OWN_UNCHECKED        \
    {                                                                                             \
        return task_kill_wait((struct task_handle *)task, limit_ns, out_report);                  \
    }                                                                                             \
    struct name##_task /* the semicolon ends this */

/* ---- underneath; for TASK_DEFINE, and where types do not matter ---- */

struct task_plan {
    const char *name;
    void (*run)(void *argument, void *out_result);
    size_t argument_size;
    size_t result_size;
    void (*drop)(void **argument); /* NULL: the argument owns nothing */
};

/*
 * A new task runs plan->run on copies. `options` may be NULL. ERR_NO_MEMORY, ERR_NO_ADDRESS_SPACE,
 * ERR_INVALID_ARGUMENT (priority, CPU), ERR_LIMIT for sizes beyond TASK_ARGUMENT_MAX.
 */
CELL_API enum status task_spawn(const struct task_plan *plan, const void *argument,
                                const struct task_options *options, struct task_handle **out)
    OWN_ACQUIRES(**out);

/*
 * The same for an argument that owns, with a plan->drop(), which may begin again and empties its handle last:
 * *argument is NULL if this says OK.
 */
CELL_API enum status task_spawn_owning(const struct task_plan *plan, void **argument,
                                       const struct task_options *options, struct task_handle **out)
    OWN_ACQUIRES(**out);

/* Waits for its end and copies the result: OK; ERR_FAULT if it failed, ERR_KILLED if it was killed. */
CELL_API enum status task_join(struct task_handle **task, void *out_result) OWN_CONSUMES(**task);

/* Waits only: OK when it has ended, however; ERR_TIMEOUT. */
CELL_API enum status task_wait(struct task_handle *task, uint64_t deadline) OWN_BORROWS(*task);

/* ---- the task that calls ---- */

CELL_API uint64_t task_own_id(void); /* 0 before there are tasks */

CELL_API void task_yield(void);
CELL_API void task_sleep_until(uint64_t deadline);
CELL_API void task_sleep(uint64_t duration_ns);

/* ---- all tasks ---- */

struct task_information {
    uint64_t id;
    char name[TASK_NAME_SIZE];
    enum task_runstate state;
    enum task_end end;
    unsigned priority;
    uint32_t cpu;
    bool is_pinned;
    const char *waits_for; /* the kind; NULL: does not wait, or does not say */
};

/* The task with the smallest number above `after`: false if there is none. Idle tasks are not told.
 */
CELL_API bool task_next(uint64_t after, struct task_information *out);

/*
 * For who looks at stacks. While all other CPUs stand still (remote_stop_begin()), without a lock:
 * the task after `task`, NULL at first and at last. Idle tasks are left out.
 */
CELL_API const struct task *task_after(const struct task *task);

/*
 * The same beside others, one at a time: as dispatcher_look() for the task with the smallest number above
 * `after`, which is returned; 0: there is none. *out_runs: it runs, on *out_cpu, and was not looked at.
 */
CELL_API uint64_t task_look(uint64_t after, void (*look)(const struct task *task, void *context),
                            void *context, bool *out_runs, uint32_t *out_cpu);

struct task_statistics {
    uint64_t tasks;   /* with a record */
    uint64_t spawned; /* since the start */
    uint64_t stacks;  /* kept for the next */
};

/* Releases what ended tasks have left, on all CPUs, but for the stacks that are kept; then counts. */
CELL_API struct task_statistics task_statistics(void);

/* Releases the kept stacks too. */
CELL_API void task_release_stacks(void);

/* ---- killing ---- */

#define TASK_KILL_LIMIT_NS 1000000000u /* in which a task should have ended */
#define TASK_KILL_FRAMES   12u
#define TASK_KILL_TEXT     256u

/*
 * Ends a task, in whatever state it is, on whatever CPU, soon: it does not come back from the instruction
 * that it is at, its slots are released as after a fault, by itself, and who joins it is told
 * ERR_KILLED. One that waits is taken out of its wait; one that has not begun never runs its entry. Where a task
 * holds preemption or has interrupts disabled it goes on until it does not; what must not be
 * left in the middle for longer says so with a guard (kill_deferral.h). Slots that are released after
 * a fault are released to the end first.
 * A task has one end: a kill that comes after a fault that nobody catches, or after the entry has
 * returned, changes nothing; nor does a second one. Code that is prepared for faults (catch_unwind()) is
 * not for kills: they end the task. A task may kill itself, and then this does not return, unless the
 * caller holds what defers it. Any context in which parking_unpark() may be called.
 */
CELL_API void task_kill(struct task_handle *task) OWN_BORROWS(*task);

/* Why a task that was killed has not ended. */
struct task_kill_report {
    struct task_information task; /* what it waits for, too */
    uint64_t wanted_ns;           /* how long ago it was killed */
    const char *kept_by;          /* what a guard says; NULL: preemption or interrupts are held */
    char owned[TASK_KILL_TEXT];   /* what is in its slots; empty while it runs, as these: */
    unsigned frame_count;
    uint64_t frames[TASK_KILL_FRAMES]; /* where it stands, then its callers */
};

/*
 * Kills it and waits for its end, but not for longer than `limit_ns` (0: TASK_KILL_LIMIT_NS): then
 * ERR_TIMEOUT, `out_report` is filled (it may be NULL), and the kill goes on waiting.
 */
CELL_API MUST_CHECK enum status task_kill_wait(struct task_handle *task, uint64_t limit_ns,
                                               struct task_kill_report *out_report)
    OWN_BORROWS(*task);

/* To the log, as a warning. */
CELL_API void task_kill_report_log(const struct task_kill_report *report);

/*
 * A handle of the task with that number, beside that of its spawner; what it is good for is killing and
 * waiting. ERR_NOT_FOUND; ERR_PERMISSION for the boot task, which cannot be killed.
 */
CELL_API enum status task_lookup(uint64_t id, struct task_handle **out) OWN_ACQUIRES(**out);

CELL_API uint64_t task_id(const struct task_handle *task) OWN_BORROWS(*task);
