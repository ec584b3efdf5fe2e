/* SPDX-License-Identifier: MIT */
/* dispatcher_priv.h - what is kept of each CPU, and its lock. */
#pragma once

#include "dispatcher.h"

#define NO_SLICE PARK_FOREVER

struct cpu {
    uint32_t is_locked;
    uint32_t index;
    union task_standing blocked_here; /* of a task of this CPU that waits without a deadline */
    bool is_running;                  /* its idle task has begun */
    struct run_queue *queue;          /* owned; replaced by a larger one with the lock held */
    struct timer_queue deadlines;     /* of tasks that are BLOCKED with this home */
    struct task *current;
    struct task *idle;
    struct task *dead;  /* ended, by next_dead */
    bool wants_switch;  /* another CPU has made ready what should run at once */
    uint64_t slice_end; /* NO_SLICE: not armed */
    uint64_t alarm;     /* what the hardware's timer is set to */
    struct dispatcher_statistics statistics;
};

/* All of dispatcher_cpus.c. */
extern const struct dispatcher_hardware *dispatcher_hardware;
extern struct cpu *dispatcher_cpus[DISPATCHER_CPUS]; /* owned; those that were added */
extern uint32_t dispatcher_running;                  /* CPUs whose idle task has begun */
extern uint64_t dispatcher_idle;                     /* CPUs that halt, a bit each; atomically */

/* Of dispatcher.c. */
extern const struct parking_operations dispatcher_parking;
void dispatcher_reschedule(void);
void dispatcher_finish_switch(void);

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

static inline void lock(struct cpu *cpu)
{
    while (UNLIKELY(__atomic_fetch_or(&cpu->is_locked, 1, __ATOMIC_ACQUIRE) & 1)) {
        cpu_relax();
    }
}

static inline void unlock(struct cpu *cpu)
{
    __atomic_store_n(&cpu->is_locked, 0, __ATOMIC_RELEASE);
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

/* How many are ready there. With the lock, for another CPU may replace the queue. */
static inline size_t count_ready(struct cpu *cpu)
{
    lock(cpu);
    size_t count = run_queue_count(STORED(cpu->queue));
    unlock(cpu);
    return count;
}
