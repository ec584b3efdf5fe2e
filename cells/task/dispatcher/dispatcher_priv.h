/* SPDX-License-Identifier: MIT */
/* dispatcher_priv.h - what is kept of each CPU, and its lock. */
#pragma once

#include "dispatcher.h"

#define NO_SLICE PARK_FOREVER
#define NOBODY   ((uintptr_t)0)
#define IN_QUEUE ((struct task *)1)

struct cpu {
    uintptr_t holder; /* of the lock: NOBODY, the record of a CPU, or a task that leaves this one */
    uint32_t index;
    union task_standing blocked_here; /* of a task of this CPU that waits without a deadline */
    bool is_running;                  /* its idle task has begun */
    struct run_queue *queue;          /* owned; replaced by a larger one with the lock held */
    struct task *alone; /* ready, while the queue is empty; NULL: nobody is; IN_QUEUE: look there */
    struct timer_queue deadlines; /* of tasks that are BLOCKED with this home */
    struct task *timed;           /* these tasks, by next_timed */
    struct task *moving;          /* out of the queue for a moment, to come back */
    struct task *arriving;        /* from another CPU to this one; by this CPU */
    struct task *current;
    struct task *idle;
    struct task *dead;  /* ended, by next_dead */
    bool wants_switch;  /* another CPU has made ready what should run at once */
    uint8_t faults;     /* of its idle task; not counted further */
    uint64_t slice_end; /* NO_SLICE: not armed */
    uint64_t alarm;     /* what the hardware's timer is set to */
    struct dispatcher_statistics statistics;
};

/* dispatcher_leave.S */
static_assert(offsetof(struct cpu, holder) == 0, "assembly");
static_assert(offsetof(struct task, context) == 0, "assembly");
static_assert(offsetof(struct task, standing) == 24, "assembly");
static_assert(offsetof(struct task, reason) == 32, "assembly");
static_assert(offsetof(struct parking_call, reason) == 0, "assembly");
static_assert(offsetof(struct parking_call, resume) == 16, "assembly");

/* All of dispatcher_cpus.c. */
extern const struct dispatcher_hardware *dispatcher_hardware;
extern struct cpu *dispatcher_cpus[DISPATCHER_CPUS]; /* owned; those that were added */
extern uint32_t dispatcher_cpus_end;                 /* no CPU was added from this index on */
extern uint32_t dispatcher_running;                  /* CPUs whose idle task has begun */
extern uint64_t dispatcher_idle;                     /* CPUs that halt, a bit each; atomically */

/* Of dispatcher.c. */
extern void (*dispatcher_switch_vectors)(struct task *previous, struct task *next);
void dispatcher_set_alarm(struct cpu *cpu);
extern const struct parking_operations dispatcher_parking;
void dispatcher_reschedule(void);
void dispatcher_finish_switch(void);

/* Back from a wait, interrupts still off, with signs that say more than that there was a permit. */
enum status dispatcher_wake_up(struct task *task);

/* Switches, and when the task goes on lets the lock go, enables interrupts, and says how it was woken. */
enum status dispatcher_leave(struct task *next, struct task *previous, struct cpu *cpu);

/* The same for parking_call(), whose call is the task's reason. */
struct parking_result dispatcher_leave_call(struct task *next, struct task *previous,
                                            struct cpu *cpu);
struct parking_result dispatcher_wake_up_call(struct task *task);

/* In builds for finding errors, who breaks the table of task_state.h is stopped. */
#if defined(PROFILE_DEBUG) || __STDC_HOSTED__
    #define DEMAND_STATE(task, to) \
        OWN_DEMAND_(task_state_may_go((enum task_runstate)(task)->state, (to)))
#else
    #define DEMAND_STATE(task, to) ((void)0)
#endif

static inline void set_state(struct task *task, enum task_runstate state)
{
    DEMAND_STATE(task, state);
    task->state = (uint8_t)state;
}

/* ---- locks; interrupts are off ---- */

static inline struct cpu *this_cpu(void)
{
    return CPU_LOCAL(dispatcher);
}

static inline void lock_as(struct cpu *cpu, const void *holder)
{
    uintptr_t found = NOBODY;
    while (UNLIKELY(!__atomic_compare_exchange_n(&cpu->holder, &found, (uintptr_t)holder, false,
                                                 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))) {
        cpu_relax();
        found = NOBODY;
    }
}

static inline void lock(struct cpu *cpu)
{
    lock_as(cpu, this_cpu());
}

/* The record of the CPU that calls, locked. */
static inline struct cpu *lock_this(void)
{
    struct cpu *cpu = this_cpu();
    lock_as(cpu, cpu);
    return cpu;
}

static inline void unlock(struct cpu *cpu)
{
    __atomic_store_n(&cpu->holder, NOBODY, __ATOMIC_RELEASE);
}

static inline bool begin(void)
{
    bool enable = interrupts_enabled();
    disable_interrupts();
    return enable;
}

/* The kill of the task that calls is to be looked at: with interrupts off, nothing held, and no
 * lock. */
void dispatcher_strike(void);

/* Interrupts as they were; a switch that was asked for meanwhile happens now. */
static inline void end(bool enable)
{
    if (enable) {
        enable_interrupts();
        if (UNLIKELY(CPU_LOCAL(hold) == 0)) {
            preemption_switch();
        }
    }
}

/* ---- tasks with a deadline; their CPU is locked ---- */

/* Before it is in the queue of deadlines. */
static inline void list_timed(struct cpu *cpu, struct task *task)
{
    task->next_timed = cpu->timed;
    COMPILER_BARRIER();
    cpu->timed = task; /* settle.c: from here on */
    COMPILER_BARRIER();
    task->timed_link = &cpu->timed;
    if (task->next_timed) {
        task->next_timed->timed_link = &task->next_timed;
    }
    task->has_timer = true;
}

/* Once it is not there any more. */
static inline void unlist_timed(struct task *task)
{
    *task->timed_link = task->next_timed;
    COMPILER_BARRIER();
    if (task->next_timed) {
        task->next_timed->timed_link = task->timed_link;
    }
    task->has_timer = false;
}

static inline void withdraw_deadline(struct cpu *cpu, struct task *task)
{
    if (UNLIKELY(task->has_timer)) {
        timer_queue_remove(&cpu->deadlines, task->timer);
        COMPILER_BARRIER();
        unlist_timed(task);
    }
}

/* ---- who is ready; the CPU is locked ---- */

static inline size_t count_ready_locked(const struct cpu *cpu)
{
    return cpu->alone == IN_QUEUE ? run_queue_count(STORED(cpu->queue)) : cpu->alone != NULL;
}

/* Without the lock, which it takes: another CPU may replace the queue. */
static inline size_t count_ready(struct cpu *cpu)
{
    lock(cpu);
    size_t count = count_ready_locked(cpu);
    unlock(cpu);
    return count;
}

/* Somebody is alone, or was. Who goes over to the queue is in both for a moment: settle.c. */
void dispatcher_enter_queue(struct cpu *cpu, struct task *task);

/* Behind others. */
static inline void enter(struct cpu *cpu, struct task *task)
{
    if (LIKELY(!cpu->alone)) {
        cpu->alone = task;
    } else {
        dispatcher_enter_queue(cpu, task);
    }
}

/* Takes out who runs next, as run_queue_take() does. */
static inline struct task *take_next(struct cpu *cpu, struct task **out)
{
    struct task *next = cpu->alone;
    if (LIKELY((uintptr_t)next > (uintptr_t)IN_QUEUE)) {
        *out = next;
        COMPILER_BARRIER();
        cpu->alone = NULL;
        COMPILER_BARRIER();
        return next;
    }
    return next ? run_queue_take(STORED(cpu->queue), out) : NULL;
}
