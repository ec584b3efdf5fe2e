/* SPDX-License-Identifier: MIT */
/*
 * The task takes what has expired out of the queue, calls it without the lock, and puts it back if it has a
 * period. Meanwhile `running` says what must not go.
 */
#include "timer.h"

#include "catch.h"
#include "heap.h"
#include "logger.h"
#include "task.h"
#include "timer_queue.h"
#include "wait_queue.h"

CELL(library, "1.0.0");

struct timer {
    struct timer_entry entry;
    uint64_t period;
    bool is_dropped; /* with the lock: it is not put back */
    timer_function_t function;
    void *context;
};

static struct spinlock lock = {.name = "timers"};
static struct timer_queue queue;    /* with the lock, these three */
static const struct timer *running; /* its function is being called */
static struct wait_queue droppers;  /* who waits for that */
static struct task *servant;        /* the task; NULL: not yet */

static void call(void *argument)
{
    const struct timer *timer = argument;
    timer->function(timer->context);
}

/* What has expired, or NULL, and then how long there is nothing to do. */
static struct timer *take(uint64_t *out_deadline)
{
    GUARD(spinlock, held, &lock);
    struct timer_entry *entry = timer_queue_take_expired(&queue, parking_now());
    *out_deadline = timer_queue_next(&queue);
    running = entry ? entry->context : NULL;
    return entry ? entry->context : NULL;
}

static void put_back(struct timer *timer, bool again)
{
    GUARD(spinlock, held, &lock);
    if (again && !timer->is_dropped) {
        uint64_t missed = (parking_now() - timer->entry.deadline) / timer->period;
        timer->entry.deadline += (missed + 1) * timer->period;
        timer_queue_add(&queue, &timer->entry);
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

/* One only: `running` is one. Who comes at the same time waits for the first. */
static enum status need_servant(void)
{
    static bool is_being_made;
    if (__atomic_load_n(&servant, __ATOMIC_ACQUIRE)) {
        return OK;
    }
    while (__atomic_exchange_n(&is_being_made, true, __ATOMIC_ACQUIRE)) {
        task_yield();
    }
    enum status status = OK;
    if (!servant) {
        OWNED(timers_task, task);
        status = timers_spawn(&(int){0}, NULL, SLOT(task));
        if (status == OK) {
            parking_get((struct task *)(void *)REF(task), &servant); /* for good */
        }
    }
    __atomic_store_n(&is_being_made, false, __ATOMIC_RELEASE);
    return status;
}

enum status timer_create(uint64_t deadline, uint64_t period_ns, timer_function_t function,
                         void *context, struct timer **out)
{
    if (!function) {
        return ERR_INVALID_ARGUMENT;
    }
    enum status status = need_servant();
    if (status != OK) {
        return status;
    }
    struct timer *timer = heap_allocate_zeroed(sizeof(*timer));
    if (!timer) {
        return ERR_NO_MEMORY;
    }
    timer->entry.deadline = deadline;
    timer->entry.context = timer;
    timer->period = period_ns;
    timer->function = function;
    timer->context = context;
    FILL(out, timer);
    {
        GUARD(spinlock, held, &lock);
        timer_queue_add(&queue, &timer->entry);
    }
    parking_unpark(servant);
    return OK;
}

void timer_drop(struct timer **handle)
{
    static const struct parking_reason reason = {.what = "timer's function"};
    struct timer *timer = *handle;
    if (!timer) {
        return;
    }
    {
        GUARD(spinlock, held, &lock);
        timer->is_dropped = true;
        while (running == timer) {
            (void)!wait_queue_wait(&droppers, SLOT(held), PARK_FOREVER, &reason, NULL);
        }
        timer_queue_remove(&queue, &timer->entry);
    }
    EMPTY(handle);
    heap_free(timer);
}
