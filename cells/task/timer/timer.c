/* SPDX-License-Identifier: MIT */
/*
 * The task takes what has expired out of the queue, calls it without the lock, and puts it back if
 * it has a period. Meanwhile `running` says what must not go.
 *
 * All timers are in a list, whose every change is one step, and each says whether it is in the
 * queue. So the queue, a heap that takes many stores to change, can be made anew: who changes it
 * has a slot, newer than the guard of the lock, whose drop does that if it is still full.
 *
 * The task is a service: after a fault outside of a timer's function it begins anew. `running` and
 * `progress` say then where it was: what was not called is called now, what was called is put back
 * as if nothing had been.
 */
#include "timer.h"

#include "catch.h"
#include "commit.h"
#include "heap_block.h"
#include "logger.h"
#include "mutex.h"
#include "task.h"
#include "timer_queue.h"
#include "wait_queue.h"

CELL(library, "1.0.0");

struct timer {
    struct timer_entry entry;
    struct timer *next; /* of all */
    bool is_queued;     /* it is in the queue, or is to be */
    uint64_t period;
    bool is_dropped; /* with the lock: it is not put back */
    timer_function_t function;
    void *context;
};

static struct spinlock lock = {.name = "timers"};
static struct timer_queue queue; /* with the lock, these four */
static struct timer *all;
static struct timer *running; /* its function is being called, is about to be, or has been */
static enum {
    PROGRESS_NONE,
    PROGRESS_BEGUN,
    PROGRESS_RETURNED,
} progress;                        /* of that; the task's */
static struct wait_queue droppers; /* who waits for that */
static struct task *servant;       /* the task, which may have ended; NULL: not yet */

/* ---- changes of the queue; the lock is held ---- */

struct OWN_CAPABILITY("change of the queue") timer_change;
OWN_DECLARE_LOCAL(timer_change);

static void timer_change_drop(struct timer_change **handle)
{
    if (!*handle) {
        return;
    }
    queue = (struct timer_queue){0};
    for (struct timer *timer = all; timer; timer = timer->next) {
        timer->entry.link = NULL;
        if (timer->is_queued) {
            timer_queue_add(&queue, &timer->entry);
        }
    }
    EMPTY(handle);
}

/* In the queue from now on, or not. */
static void set_queued(struct timer *timer, bool is_queued)
{
    OWNED(timer_change, change);
    FILL(SLOT(change), (struct timer_change *)&queue);
    timer->is_queued = is_queued;
    COMPILER_BARRIER();
    if (is_queued) {
        timer_queue_add(&queue, &timer->entry);
    } else {
        timer_queue_remove(&queue, &timer->entry);
    }
    EMPTY(SLOT(change));
}

/* ---- the task ---- */

static void call(void *argument)
{
    const struct timer *timer = argument;
    progress = PROGRESS_BEGUN;
    COMPILER_BARRIER();
    timer->function(timer->context);
    COMPILER_BARRIER();
    progress = PROGRESS_RETURNED;
}

/* What has expired, or NULL, and then how long there is nothing to do. */
static struct timer *take(uint64_t *out_deadline)
{
    GUARD(spinlock, held, &lock);
    struct timer *timer = queue.earliest ? queue.earliest->context : NULL;
    if (timer && timer->entry.deadline > parking_now()) {
        timer = NULL;
    }
    progress = PROGRESS_NONE;
    COMPILER_BARRIER();
    running = timer;
    COMPILER_BARRIER();
    if (timer) {
        set_queued(timer, false);
    }
    *out_deadline = timer_queue_next(&queue);
    return timer;
}

/* May be begun again: who is queued has his next deadline already. */
static void put_back(struct timer *timer, bool again)
{
    GUARD(spinlock, held, &lock);
    if (again && !timer->is_dropped && !timer->is_queued) {
        uint64_t now = parking_now();
        if (timer->entry.deadline <= now) {
            uint64_t missed = (now - timer->entry.deadline) / timer->period;
            timer->entry.deadline += (missed + 1) * timer->period;
        }
        set_queued(timer, true);
    }
    running = NULL;
    wait_queue_wake_all(&droppers);
}

/* Was not called yet: its deadline is the old one still. */
static void put_back_uncalled(struct timer *timer)
{
    GUARD(spinlock, held, &lock);
    if (!timer->is_dropped && !timer->is_queued) {
        set_queued(timer, true);
    }
    running = NULL;
    wait_queue_wake_all(&droppers);
}

/* What a task that was struck has left. */
static void resume(void)
{
    struct timer *timer = running;
    if (!timer) {
        GUARD(spinlock, held, &lock);
        wait_queue_wake_all(&droppers);
    } else if (progress == PROGRESS_NONE) {
        put_back_uncalled(timer);
    } else {
        put_back(timer, progress == PROGRESS_RETURNED && timer->period != 0);
    }
}

/*
 * One only, for `running` is one: false if another one lives. Both say it, who makes the task and the task
 * itself, for either may be struck before.
 */
static bool become_servant(struct task *task)
{
    GUARD(spinlock, held, &lock);
    if (servant && servant->end != TASK_NOT_ENDED) {
        parking_put(&servant);
    }
    if (!servant) {
        parking_get(task, &servant);
    }
    return servant == task;
}

static int serve(int *unused)
{
    static const struct parking_reason reason = {.what = "timers"};
    (void)unused;
    if (!become_servant(parking_self())) {
        return 0;
    }
    resume();
    for (;;) {
        uint64_t deadline;
        struct timer *timer = take(&deadline);
        if (!timer) {
            (void)!parking_park(deadline, &reason); /* a permit: there is an earlier one */
            continue;
        }
        enum status status = catch_unwind(call, timer, NULL);
        if (status != OK) {
            log_error("the function of a timer has failed: %s", status_text(status));
        }
        put_back(timer, status == OK && timer->period != 0);
    }
}
TASK_DEFINE(timers, int, int, serve);

static bool is_served(void)
{
    GUARD(spinlock, held, &lock);
    return servant && servant->end == TASK_NOT_ENDED;
}

/* It ends by a kill, or after TASK_RESTARTS_MAX faults. */
static enum status need_servant(void)
{
    static struct mutex making = MUTEX_INIT("task of the timers");
    static const struct task_options options = {.is_service = true};
    if (is_served()) {
        return OK;
    }
    GUARD(mutex, held, &making);
    if (is_served()) {
        return OK;
    }
    OWNED(timers_task, task);
    enum status status = timers_spawn(&(int){0}, &options, SLOT(task));
    if (status == OK) {
        (void)become_servant((struct task *)(void *)REF(task));
    }
    return status;
}

enum status timer_create(uint64_t deadline, uint64_t period_ns, timer_function_t function,
                         void *context, struct timer **out) OWN_UNCHECKED
{
    if (!function) {
        return ERR_INVALID_ARGUMENT;
    }
    enum status status = need_servant();
    if (status != OK) {
        return status;
    }
    OWN_DEMAND_(!*out);
    OWNED(heap_block, block);
    if (!heap_block_take_zeroed(sizeof(struct timer), SLOT(block))) {
        return ERR_NO_MEMORY;
    }
    struct timer *timer = heap_block_of(*SLOT(block));
    timer->entry.deadline = deadline;
    timer->entry.context = timer;
    timer->period = period_ns;
    timer->function = function;
    timer->context = context;
    {
        GUARD(spinlock, held, &lock);
        timer->next = all;
        commit_three(&all, timer, out, timer, SLOT(block), NULL);
        set_queued(timer, true);
        if (servant) {
            parking_unpark(servant); /* else the one that is being made looks */
        }
    }
    return OK;
}

static struct timer **find_link(const struct timer *timer)
{
    struct timer **link = &all;
    while (*link != timer) {
        link = &(*link)->next;
    }
    return link;
}

void timer_drop(struct timer **handle) OWN_UNCHECKED
{
    static const struct parking_reason reason = {.what = "timer's function"};
    struct timer *timer = *handle;
    if (!timer) {
        return;
    }
    OWNED(heap_block, block);
    GUARD(spinlock, held, &lock);
    timer->is_dropped = true;
    while (running == timer) {
        (void)!wait_queue_wait(&droppers, SLOT(held), PARK_FOREVER, &reason, NULL);
    }
    set_queued(timer, false);
    commit_three(find_link(timer), timer->next, handle, NULL, SLOT(block), timer);
}
