/* SPDX-License-Identifier: MIT */
/*
 * Handlers of exceptions and interrupts, timers, and work that is left to a task: after a strike
 * each is registered and owned, or neither, and no place and no block is lost.
 */
#include "catch.h"
#include "commit.h"
#include "deferred.h"
#include "exceptions_priv.h"
#include "interrupts_priv.h"
#include "logger.h"
#include "strike.h"
#include "strike_heap.h"
#include "strike_other.h"
#include "timer.h"

/* ---- what these cells call and is not there ---- */

void logger_write(enum log_level level, const char *cell, const char *format, ...)
{
}

void exceptions_give_up(const struct exception_frame *frame)
{
    strike_demand(!"an exception that nobody takes");
}

bool exceptions_is_reporting(void)
{
    return false;
}

void exceptions_set_gate(unsigned vector, uint64_t address)
{
}

const uint64_t interrupts_stubs[INTERRUPT_COUNT];

enum status catch_unwind(void (*function)(void *argument), void *argument,
                         struct catch_reason *out_reason)
{
    function(argument);
    return OK;
}

/* A task that has a record and a handle, and does not run. */
static uint64_t tasks;

enum status task_spawn(const struct task_plan *plan, const void *argument,
                       const struct task_options *options, struct task_handle **out)
{
    commit_two(&tasks, tasks + 1, out, strike_task_of(&strike_other));
    return OK;
}

void task_handle_drop(struct task_handle **handle)
{
    if (*handle) {
        commit_two(&tasks, tasks - 1, handle, NULL);
    }
}

enum status task_wait(struct task_handle *handle, uint64_t deadline)
{
    return OK;
}

enum status task_join(struct task_handle **handle, void *out_result)
{
    return ERR_FAULT;
}

void task_kill(struct task_handle *task)
{
}

enum status task_kill_wait(struct task_handle *task, uint64_t limit_ns,
                           struct task_kill_report *out_report)
{
    return OK;
}

static void check_calm(void)
{
    strike_demand(preemption_count() == 0);
    strike_demand(interrupts_enabled());
}

/* ---- handlers ---- */

static unsigned calls;

static bool on_exception(struct exception_frame *frame, void *context)
{
    calls++;
    return true;
}

static void register_exceptions(void)
{
    OWNED(exception_handler, one);
    OWNED(exception_handler, two);
    if (exception_handler_register(EXCEPTION_UD, "one", on_exception, NULL, SLOT(one)) == OK &&
        exception_handler_register(EXCEPTION_UD, "two", on_exception, NULL, SLOT(two)) == OK) {
        exception_handler_drop(SLOT(one));
    }
}

/* All places can be had, and none is called. */
static void check_exceptions(void)
{
    check_calm();
    strike_demand(calls == 0);
    struct exception_handler *all[EXCEPTION_HANDLER_LIMIT] = {0};
    for (unsigned i = 0; i < EXCEPTION_HANDLER_LIMIT; i++) {
        strike_demand(
            exception_handler_register(EXCEPTION_UD, "all", on_exception, NULL, &all[i]) == OK);
    }
    for (unsigned i = 0; i < EXCEPTION_HANDLER_LIMIT; i++) {
        exception_handler_drop(&all[i]);
    }
}

static void on_interrupt(void *context)
{
    calls++;
}

static void prepare_interrupts(void)
{
    interrupts_init();
}

static void register_interrupts(void)
{
    OWNED(interrupt, one);
    OWNED(interrupt, two);
    OWNED(interrupt, none);
    if (interrupt_register_any("one", on_interrupt, NULL, SLOT(one)) == OK &&
        interrupt_register_any("two", on_interrupt, NULL, SLOT(two)) == OK) {
        strike_demand(interrupt_register(interrupt_vector(REF(two)), "none", on_interrupt, NULL,
                                         SLOT(none)) == ERR_BUSY);
        interrupt_drop(SLOT(one));
    }
}

static void check_interrupts(void)
{
    check_calm();
    strike_demand(calls == 0);
    for (unsigned vector = INTERRUPT_ANY_FIRST; vector < INTERRUPT_ANY_FIRST + 3; vector++) {
        OWNED(interrupt, again);
        strike_demand(!interrupts_name(vector));
        strike_demand(interrupt_register(vector, "again", on_interrupt, NULL, SLOT(again)) == OK);
    }
}

/* ---- timers ---- */

static void prepare_tasks(void)
{
    strike_other_begin(NULL);
}

static void on_time(void *context)
{
    calls++;
}

static void make_timers(void)
{
    OWNED(timer, late);
    OWNED(timer, early);
    OWNED(timer, middle);
    if (timer_create(300, 0, on_time, NULL, SLOT(late)) != OK ||
        timer_create(100, 0, on_time, NULL, SLOT(early)) != OK ||
        timer_create(200, 7, on_time, NULL, SLOT(middle)) != OK) {
        return;
    }
    timer_drop(SLOT(early));
}

/* Timers can still be made and dropped; the task of the timers is there for good. */
static void check_timers(void)
{
    check_calm();
    strike_demand(strike_heap_used() == 0);
    strike_demand(tasks == 0 && strike_other.references <= 1);
    make_timers();
    strike_demand(strike_heap_used() == 0 && strike_other.references == 1);
}

/* ---- deferred work ---- */

static enum status work(void *context, uint64_t pushes)
{
    return OK;
}

static void make_works(void)
{
    OWNED(deferred_queue, queue);
    OWNED(deferred_work, one);
    OWNED(deferred_work, two);
    if (deferred_queue_create("works", NULL, SLOT(queue)) != OK ||
        deferred_work_create(REF(queue), work, NULL, SLOT(one)) != OK ||
        deferred_work_create(REF(queue), work, NULL, SLOT(two)) != OK) {
        return;
    }
    deferred_work_drop(SLOT(one));
    deferred_queue_drop(SLOT(queue));
}

static void check_works(void)
{
    check_calm();
    strike_demand(strike_heap_used() == 0);
    strike_demand(tasks == 0 && strike_other.references == 0);
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"handlers of exceptions", NULL, register_exceptions, check_exceptions},
        {"handlers of interrupts", prepare_interrupts, register_interrupts, check_interrupts},
        {"timers", prepare_tasks, make_timers, check_timers},
        {"deferred work", prepare_tasks, make_works, check_works},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
