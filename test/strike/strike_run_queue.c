/* SPDX-License-Identifier: MIT */
/*
 * A policy's queue, whichever it is: after a strike and run_queue_repair(), as dispatcher_settle() calls
 * it, every task is in it once, but for the one that was on its way. The rest comes out in order.
 */
#include "scheduler.h"
#include "strike.h"
#include "strike_heap.h"

#define TASKS 7u
#define OTHER (TASKS - 1) /* not in the queue at first */

static struct task tasks[TASKS];
static struct run_queue *queue;
static struct task *moving;     /* on its way; NULL: nobody is */
static struct task *taken;      /* where a queue stores whom it lets go */
static bool has_first_in_order; /* the policy has an order beside that of arrival */

static void settle(uint64_t rsp)
{
    run_queue_repair(queue);
}

static void prepare(void)
{
    static const uint8_t priorities[TASKS] = {2, 5, 2, 9, 5, 2, 5};
    strike_demand(run_queue_create(TASKS, &queue) == OK);
    for (size_t i = 0; i < TASKS; i++) {
        tasks[i].priority = priorities[i];
        tasks[i].is_pinned = i == 4 || i == 5;
        if (i != OTHER) {
            run_queue_add(queue, &tasks[i]);
        }
    }
    strike_set_settle(settle);
    has_first_in_order = run_queue_preempts(&tasks[3], &tasks[0]);
}

/* As after some turns: what is first does not lie at the beginning. */
static void prepare_later(void)
{
    prepare();
    for (size_t i = 0; i < 3 * TASKS; i++) {
        struct task *task = NULL;
        strike_demand(run_queue_take(queue, &task) == task && task);
        run_queue_add(queue, task);
    }
}

static unsigned times_in(const struct task *task)
{
    unsigned times = 0;
    for (size_t i = 0; i < run_queue_count(queue); i++) {
        times += run_queue_at(queue, i) == task;
    }
    return times;
}

/* Who is not there was told to somebody. */
static void check_members(void)
{
    for (size_t i = 0; i < TASKS; i++) {
        const struct task *task = &tasks[i];
        unsigned times = times_in(task);
        if (task == taken || task == moving) {
            strike_demand(times <= 1);
        } else {
            strike_demand(times == (i != OTHER));
        }
    }
}

static void check(void)
{
    check_members();
    size_t count = run_queue_count(queue);
    unsigned last = TASK_PRIORITIES;
    while (count-- > 0) {
        struct task *task = NULL;
        strike_demand(run_queue_take(queue, &task) == task && task);
        strike_demand(!has_first_in_order || task->priority <= last);
        last = task->priority;
    }
    strike_demand(!run_queue_take(queue, &taken));
    run_queue_add(queue, &tasks[0]);
    strike_demand(run_queue_count(queue) == 1 && run_queue_at(queue, 0) == &tasks[0]);
    run_queue_drop(&queue);
    strike_demand(!queue && strike_heap_used() == 0);
}

/* ---- what is struck ---- */

static void add(void)
{
    moving = &tasks[OTHER];
    run_queue_add(queue, &tasks[OTHER]);
    strike_demand(times_in(&tasks[OTHER]) == 1);
}

static void take(void)
{
    strike_demand(run_queue_take(queue, &taken) == taken && taken && times_in(taken) == 0);
}

static void give(void)
{
    strike_demand(run_queue_give(queue, &taken) == taken && !taken->is_pinned &&
                  times_in(taken) == 0);
}

static void take_out(void)
{
    moving = &tasks[2];
    strike_demand(run_queue_remove(queue, moving) && !run_queue_remove(queue, moving));
}

static void create_and_drop(void)
{
    OWNED(run_queue, larger);
    if (run_queue_create(100, SLOT(larger)) == OK) {
        run_queue_inherit(REF(larger), queue);
        strike_demand(run_queue_count(REF(larger)) == run_queue_count(queue));
    }
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"add", prepare, add, check},
        {"add, after some turns", prepare_later, add, check},
        {"take", prepare, take, check},
        {"take, after some turns", prepare_later, take, check},
        {"give", prepare, give, check},
        {"give, after some turns", prepare_later, give, check},
        {"remove", prepare, take_out, check},
        {"remove, after some turns", prepare_later, take_out, check},
        {"a larger one inherits", prepare, create_and_drop, check},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
