/* SPDX-License-Identifier: MIT */
/*
 * dispatcher.h - gives CPUs to tasks.
 *
 * Why: the mechanism of multitasking in one place: what it means to run, to wait and to end, on every
 * CPU. Who is next is the scheduler's affair (scheduler.h); what tasks are for the others is task.h.
 *
 * Rules: each CPU has a lock, a run queue, a queue of deadlines and an idle task. The lock is held
 * with interrupts off, over a switch: who is switched to lets it go. One such lock at a time. It is
 * no guard: after a fault while it is held dispatcher_settle() makes things right. A
 * task that is ready stays on its CPU, but a CPU that has nothing to do takes one from another,
 * unless it is pinned. The hardware is handed over as functions, so that this runs in a process
 * too.
 */
#pragma once

#include "scheduler.h"
#include "task_state.h"

#define DISPATCHER_CPUS     64u
#define DISPATCHER_ANY_CPU  UINT32_MAX
#define DISPATCHER_SLICE_NS 2000000u /* what a task gets while others are ready */

struct dispatcher_hardware {
    /* Nanoseconds since the start; never goes back, on all CPUs the same. */
    uint64_t (*now)(void);
    /* An interrupt on this CPU at that time or soon after; PARK_FOREVER: none. Interrupts are off. */
    void (*set_timer)(uint64_t deadline);
    /* dispatcher_wake_interrupt() on that CPU, which is not this one. Interrupts are off. */
    void (*wake)(uint32_t cpu);
};

/*
 * On the CPU that booted, once: what calls becomes the task `name`, pinned, and parking.h works
 * from now on. `hardware` is borrowed for good. ERR_NO_MEMORY, ERR_STATE if it has been called.
 */
CELL_API MUST_CHECK enum status dispatcher_start(const struct dispatcher_hardware *hardware,
                                                 const char *name);

/* The task that dispatcher_start() made; NULL before. It never ends. */
CELL_API const struct task *dispatcher_boot_task(void);

/* The idle task of CPU `index`, NULL where there is none. Any context; it stays. */
CELL_API const struct task *dispatcher_idle_task(uint32_t index);

/*
 * Calls look(task, context) while nobody can let the task run: with interrupts off and its CPU's
 * lock held, so `look` is short and calls none of these functions. False, uncalled, if it runs:
 * *out_cpu says where.
 */
CELL_API bool dispatcher_look(const struct task *task,
                              void (*look)(const struct task *task, void *context), void *context,
                              uint32_t *out_cpu);

/* Prepares CPU `index` (its cpu_local's), from any task. ERR_NO_MEMORY, ERR_EXISTS, ERR_LIMIT. */
CELL_API MUST_CHECK enum status dispatcher_add_cpu(uint32_t index);

/* On that CPU, with interrupts off: what calls becomes its idle task. */
CELL_API NORETURN void dispatcher_run_cpu(void);

/*
 * So that an idle task goes on after a fault: `base` makes the outermost catch point below `top`, says where the
 * rest of the stack ends, at most DISPATCHER_BASE_ROOM below, and what the chain begins with. Who comes back
 * there calls dispatcher_idle_again(), with interrupts off. Before dispatcher_start(); without it
 * such a fault ends the system.
 */
#define DISPATCHER_BASE_ROOM 512u
typedef uint64_t (*dispatcher_base_t)(uint64_t top, struct own_slot **out_top);
CELL_API void dispatcher_set_base(dispatcher_base_t base);

/*
 * The idle task of this CPU begins anew. After DISPATCHER_IDLE_FAULTS_MAX times it does no more than to
 * let others run and to halt: it buries nobody and takes over nothing.
 */
#define DISPATCHER_IDLE_FAULTS_MAX 32u
CELL_API NORETURN void dispatcher_idle_again(void);

/* How many CPUs run tasks; is this one of them? */
CELL_API uint32_t dispatcher_cpu_count(void);
CELL_API bool dispatcher_has_cpu(uint32_t index);

/* What handlers of interrupts call: the timer's, and that of another CPU's `wake`. */
CELL_API void dispatcher_timer_interrupt(void);
CELL_API void dispatcher_wake_interrupt(void);

/*
 * Makes room in the run queues for one more task: before dispatcher_add(). ERR_NO_MEMORY. The word `*out`,
 * which is 0, says that there is room; it is given back, and 0 again, when the task is in no queue for good.
 */
CELL_API MUST_CHECK enum status dispatcher_admit(uint64_t *out);
CELL_API void dispatcher_dismiss(uint64_t *field);

/*
 * A new task with a prepared context becomes ready, on `cpu` or on the one with the least to do. It has
 * begun from then on, which its `has_begun` says; one of its references is its own.
 */
CELL_API void dispatcher_add(struct task *task, uint32_t cpu);

/* The first thing that a new task does on its stack. */
CELL_API void dispatcher_entered(void);

/* Lets others that are ready run. */
CELL_API void dispatcher_yield(void);

/* The task that calls is off its CPU for good; it is among the dead then. */
CELL_API NORETURN void dispatcher_end(void);

/*
 * Ends a task, which the caller knows to exist: wherever it is stopped, at the next moment at which it runs
 * on its CPU with interrupts enabled and holds no preemption, the function set below is called in
 * it. One that waits is woken for that; one that runs is interrupted. Again: interrupts it again, if it has not
 * looked yet. After its end: does nothing.
 */
CELL_API void dispatcher_kill(struct task *task);

/*
 * `kill` does not return, unless the task cannot be killed now: then it says why (kill_deferral.h),
 * and is called again by dispatcher_kill_check().
 */
CELL_API void dispatcher_set_kill(void (*kill)(const struct kill_deferral **out_by));

/* A kill of the calling task that was wanted, or deferred, strikes now if nothing speaks against
 * it. */
CELL_API void dispatcher_kill_check(void);

/*
 * Calls look(task, context) while it does not run: its CPU is locked, interrupts are off. False
 * without that where it runs or has ended. `task` is known to exist.
 */
CELL_API bool dispatcher_examine(struct task *task,
                                 void (*look)(const struct task *task, void *context),
                                 void *context);

/* Takes a task that has ended on this CPU, or on any, off the list of the dead, into *out; false if there
 * is none. The caller releases its stack and its own reference. */
CELL_API bool dispatcher_take_dead(bool of_any_cpu, struct task **out);

/* Called in switches between tasks one of which has a `vector_state`; before there are such.
 * `previous` is NULL after a fault with interrupts off: whatever was under way, `next` goes on. */
CELL_API void dispatcher_set_vectors(void (*change)(struct task *previous, struct task *next));

/* Called by idle tasks when there are dead; NULL: nobody. */
CELL_API void dispatcher_set_undertaker(void (*undertaker)(void));

/* Called by parking_put() with a task's last reference, to put it. */
CELL_API void dispatcher_set_release(void (*release)(struct task **slot));

/*
 * For who ends what was interrupted with this stack pointer by a fault, before he looks at anything else:
 * if that had a lock of the dispatcher's, what was under way there is taken back or finished, and
 * the lock is let go. Interrupts are off.
 */
CELL_API void dispatcher_settle(uint64_t rsp);

/*
 * The field that owns a CPU's run queue, for who replaces the policy in a window in which all other
 * CPUs stand still with nothing held. Outside of it, only to ask for the capacity. `cpu`: below
 * dispatcher_cpu_count().
 */
CELL_API struct run_queue **dispatcher_queue_slot(uint32_t cpu);

struct dispatcher_statistics {
    uint64_t switches;
    uint64_t preemptions; /* of these, not asked for by the task */
    uint64_t moves;       /* tasks that another CPU took over */
    uint64_t ready;       /* tasks in run queues now */
};

CELL_API struct dispatcher_statistics dispatcher_statistics(uint32_t cpu);
