/* SPDX-License-Identifier: MIT */
/*
 * The task takes what has expired out of the queue, calls it without the lock, and puts it back if
 * it has a period. Meanwhile `running` says what must not go.
 *
 * All timers are in a list, whose every change is one step, and each says whether it is in the
 * queue. So the queue, a heap that takes many stores to change, can be made anew: who changes it
 * has a slot, newer than the guard of the lock, whose drop does that if it is still full.
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
static const struct timer *running; /* its function is being called */
static struct wait_queue droppers;  /* who waits for that */
static struct task *servant;        /* the task; NULL: not yet */

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
    timer->function(timer->context);
}

/* What has expired, or NULL, and then how long there is nothing to do. */
static struct timer *take(uint64_t *out_deadline)
{
    GUARD(spinlock, held, &lock);
    struct timer *timer = queue.earliest ? queue.earliest->context : NULL;
    if (timer && timer->entry.deadline > parking_now()) {
        timer = NULL;
    }
    running = timer;
    if (timer) {
        set_queued(timer, false);
    }
    *out_deadline = timer_queue_next(&queue);
    return timer;
}

static void put_back(struct timer *timer, bool again)
{
    GUARD(spinlock, held, &lock);
    if (again && !timer->is_dropped) {
        uint64_t missed = (parking_now() - timer->entry.deadline) / timer->period;
        timer->entry.deadline += (missed + 1) * timer->period;
        set_queued(timer, true);
    }
    running = NULL;
    wait_queue_wake_all(&droppers);
}

static int serve(int *unused)
{
    static const struct parking_reason reason = {.what = "timers"};
    (void)unused;
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
    return 0; /* never: the compiler wants it */
}
TASK_DEFINE(timers, int, int, serve);

/* One only: `running` is one. */
static enum status need_servant(void)
{
    static struct mutex making = MUTEX_INIT("task of the timers");
    if (__atomic_load_n(&servant, __ATOMIC_ACQUIRE)) {
        return OK;
    }
    GUARD(mutex, held, &making);
    if (servant) {
        return OK;
    }
    OWNED(timers_task, task);
    enum status status = timers_spawn(&(int){0}, NULL, SLOT(task));
    if (status != OK) {
        return status;
    }
    parking_get((struct task *)(void *)REF(task), &servant); /* for good */
    return OK;
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
    }
    parking_unpark(servant);
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
