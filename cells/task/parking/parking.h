/* SPDX-License-Identifier: MIT */
/*
 * parking.h - how a task waits, for code that does not know the scheduler.
 *
 * Why: locks, queues and channels make tasks wait and go on. They are used before there are tasks,
 * and on the host; and schedulers are replaced while tasks wait. So waiting is this interface, and
 * whoever runs tasks stands behind it.
 *
 * Rules: each task has one permit. parking_unpark() gives it, parking_park() takes it, at once if it is
 * there, else waiting. A permit may be left over from an earlier wait, so callers look at their
 * condition again in a loop. parking_park() is called without holds of preemption and with interrupts
 * enabled; parking_unpark() in any context, by whoever knows that the task still exists.
 * Times are nanoseconds since the system started; deadlines are points in time.
 *
 * In the system `park`, `hand_over` and `call` change all registers but rsp: who waits goes on where another task
 * left, and only who called knows which are worth keeping. parking_park() keeps those that a callee keeps;
 * parking_park_inline() is for functions that have saved them already, and saves them no second time.
 */
#pragma once

#include "cpu_local.h"
#include "status.h"

#define PARK_FOREVER UINT64_MAX /* a deadline that never comes */

/* What the task waits for, in words and by address; for reports and for finding cycles. */
struct parking_reason {
    const char *what; /* "mutex", "channel": the kind */
    const void *object;
};

/* What comes back in two registers. */
struct parking_result {
    enum status status;
    uint64_t word;
};

/* A wait that has nothing to keep on its stack: what is to be done after it, and for what. */
struct parking_call {
    struct parking_reason reason;
    struct parking_result (*resume)(const struct parking_call *call);
};

struct parking_operations {
    enum status (*park)(uint64_t deadline, const struct parking_reason *reason);
    void (*unpark)(struct task *task);
    /* unpark(task), then park: without a detour where `task` can go on here at once. */
    enum status (*hand_over)(struct task *task, uint64_t deadline,
                             const struct parking_reason *reason);
    /* The system's: hand_over(task) without a deadline, then call->resume(call). */
    struct parking_result (*call)(struct task *task, const struct parking_call *call);
    uint64_t (*now)(void);
    /* 0 is the lowest. `lend` makes a task run as if it had the priority, 0 takes that back. */
    unsigned (*priority)(const struct task *task);
    void (*lend)(struct task *task, unsigned priority);
    bool (*reason)(const struct task *task, struct parking_reason *out);
    const char *(*name)(const struct task *task);
    /* NULL: tasks live longer than all who know them. */
    void (*get)(struct task *task, struct task **out);
    void (*put)(struct task **slot);
};

/* Copied, before anybody else uses them. Before the first call, or after NULL, there are no tasks
 * and no time, and parking_park() says ERR_TIMEOUT at once. */
CELL_API void parking_set(const struct parking_operations *operations);

/* The task that calls; NULL before there are tasks. */
static inline struct task *parking_self(void)
{
    return CPU_LOCAL(task);
}

/* Waits for the permit and takes it; ERR_TIMEOUT without it when `deadline` has come. `reason` is
 * borrowed while it waits. */
CELL_API MUST_CHECK enum status parking_park(uint64_t deadline,
                                             const struct parking_reason *reason);
CELL_API void parking_unpark(struct task *task);

/* Unparks the other and parks itself, as one: the quickest way to call somebody who waits here. */
CELL_API MUST_CHECK enum status parking_hand_over(struct task *task, uint64_t deadline,
                                                  const struct parking_reason *reason);

/*
 * parking_hand_over() without a deadline as the last thing that a function does: its result is that of
 * call->resume(call). No frame and no register waits: for functions that are called as parking_park_inline() calls.
 */
CELL_API struct parking_result parking_call(struct task *task, const struct parking_call *call);

/* parking_park() within its caller, so that registers are saved once. Not called but by the next. */
CELL_API enum status parking_park_bare(uint64_t deadline, const struct parking_reason *reason);

MUST_CHECK static inline enum status parking_park_inline(uint64_t deadline,
                                                         const struct parking_reason *reason);
#if __STDC_HOSTED__
static inline enum status parking_park_inline(uint64_t deadline,
                                              const struct parking_reason *reason)
{
    return parking_park(deadline, reason);
}
#else
static inline __attribute__((always_inline)) enum status parking_park_inline(
    uint64_t deadline, const struct parking_reason *reason)
{
    int status;
    __asm__ volatile("call %P[park]"
                     : "=a"(status), "+D"(deadline), "+S"(reason)
                     : [park] "i"(parking_park_bare)
                     : "rbx", "rcx", "rdx", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                       "r15", "memory", "cc");
    return (enum status)status;
}
#endif

/* Nanoseconds since the start; 0 before there is a clock. */
CELL_API uint64_t parking_now(void);

/* now + `duration`, or PARK_FOREVER where that is beyond the end of time. */
CELL_API uint64_t parking_deadline(uint64_t duration_ns);

CELL_API unsigned parking_priority(const struct task *task);
CELL_API void parking_lend(struct task *task, unsigned priority);

/* What it waits for; false if it does not wait, or did not say. */
CELL_API bool parking_reason(const struct task *task, struct parking_reason *out);
CELL_API const char *parking_name(const struct task *task);

/*
 * Keeps the task's record, not its stack, so that parking_unpark() does nothing after its end instead of
 * harm, and puts the task into *out; gives that up, unless *slot is NULL, as it is then. get: by who knows
 * that the task still exists. Fields hold these; counting and storing are one step, and putting may begin
 * again.
 */
CELL_API void parking_get(struct task *task, struct task **out);
CELL_API void parking_put(struct task **slot);
