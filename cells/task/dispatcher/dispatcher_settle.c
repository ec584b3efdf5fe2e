/* SPDX-License-Identifier: MIT */
/*
 * What a fault leaves behind that strikes while this CPU has a lock of the dispatcher's. Nothing was
 * written down for that: the stores are in an order that lets the truth be told from what there is.
 *
 *   a task in the queue         is ready: it entered before its state, its deadline and others were told.
 *                               So what was to be made ready is that, or waits on as if nothing had been
 *   a task alone beside it      enters it first of all; it may have been on its way there, and be in both
 *   the task that runs here     runs, and is in no queue and no list: what it had begun in order to leave
 *                               is taken back
 *   the word of the lock        is the task that leaves, from before `current` changes until the lock is
 *                               let go. Up to the moment at which rsp is on the other's stack the switch is
 *                               taken back too, and the other one is ready again
 *   the list of the timed       says who has a deadline; the queue of deadlines is made anew from it
 *   who is arriving             is in the queue that he comes from, or is put into this CPU's
 *
 * Rejected: a slot as guard of the lock, which costs more than half of what a switch costs, and of two
 * tasks would belong to neither.
 */
#include "dispatcher_priv.h"

#include "context.h"

/* How far from that of its context the stack pointer of a task may be before it has let the lock go. */
#define ENTERED_BELOW PAGE_SIZE
#define ENTERED_ABOVE 256u /* native programs leave a function there */

static bool is_record(uintptr_t word)
{
    for (uint32_t i = 0; i < dispatcher_cpus_end; i++) {
        if (dispatcher_cpus[i] && word == (uintptr_t)dispatcher_cpus[i]) {
            return true;
        }
    }
    return false;
}

/* A task in the word leaves the CPU whose lock it is. */
static bool is_held_here(const struct cpu *cpu)
{
    uintptr_t holder = __atomic_load_n(&cpu->holder, __ATOMIC_RELAXED);
    return holder == (uintptr_t)this_cpu() ||
           (cpu == this_cpu() && holder != NOBODY && !is_record(holder));
}

static bool is_queued(const struct cpu *cpu, const struct task *task)
{
    for (size_t i = 0; i < run_queue_count(STORED(cpu->queue)); i++) {
        if (run_queue_at(STORED(cpu->queue), i) == task) {
            return true;
        }
    }
    return false;
}

static void put_into_queue(struct cpu *cpu, struct task *task)
{
    if (!is_queued(cpu, task)) {
        run_queue_add(STORED(cpu->queue), task);
    }
}

/* Stacks are more than that apart: there are guard pages. */
static bool is_on_stack_of(const struct task *task, uint64_t rsp)
{
    return task->context[CONTEXT_STACK] + ENTERED_ABOVE - rsp < ENTERED_BELOW + ENTERED_ABOVE;
}

static void take_back_switch(struct cpu *cpu, uint64_t rsp)
{
    struct task *previous = (struct task *)cpu->holder;
    struct task *next = cpu->current;
    if (next != previous && is_on_stack_of(next, rsp)) {
        return; /* it is done */
    }
    OWN_TOP = previous->own_top;
    CPU_LOCAL(task) = previous;
    cpu->current = previous;
    if (next == previous) {
        return;
    }
    next->state = TASK_READY;
    if (!next->is_idle) {
        put_into_queue(cpu, next);
    }
}

static void mend_deadlines(struct cpu *cpu)
{
    cpu->deadlines.earliest = NULL;
    struct task **link = &cpu->timed;
    for (struct task *task = cpu->timed; task; task = task->next_timed) {
        task->has_timer = true;
        task->timed_link = link;
        task->timer->link = NULL;
        timer_queue_add(&cpu->deadlines, task->timer);
        link = &task->next_timed;
    }
}

/* The task that runs on this CPU does not leave it. */
static void stay(struct cpu *cpu)
{
    struct task *task = cpu->current;
    if (cpu->dead == task) {
        cpu->dead = task->next_dead;
    }
    (void)run_queue_remove(STORED(cpu->queue), task);
    withdraw_deadline(cpu, task);
    task->state = TASK_RUNNING;
}

/* The timer's interrupt may have been lost; who is ready may be better than who runs. */
static void look_again(struct cpu *cpu)
{
    if (count_ready_locked(cpu) > 0) {
        preemption_request();
    }
    cpu->alarm = PARK_FOREVER;
    dispatcher_set_alarm(cpu);
}

/* This CPU is locked; who arrives is in the queue at last. */
static void let_arrive(struct cpu *cpu)
{
    struct task *task = cpu->arriving;
    if (task && !is_queued(cpu, task)) {
        enter(cpu, task);
    }
    cpu->arriving = NULL;
}

/* Of another CPU, which is locked: has he left it? */
static void see_off(struct cpu *cpu)
{
    struct cpu *here = this_cpu();
    if (here->arriving && is_queued(cpu, here->arriving)) {
        here->arriving = NULL;
    } else if (here->arriving) {
        here->arriving->home = (uint16_t)here->index;
    }
}

static void settle(struct cpu *cpu, uint64_t rsp)
{
    run_queue_repair(STORED(cpu->queue));
    if ((uintptr_t)cpu->alone > (uintptr_t)IN_QUEUE) {
        put_into_queue(cpu, cpu->alone);
    }
    cpu->alone = IN_QUEUE;
    mend_deadlines(cpu);
    if (cpu == this_cpu()) {
        if (cpu->holder != (uintptr_t)cpu) {
            take_back_switch(cpu, rsp);
        }
        stay(cpu);
        let_arrive(cpu);
    } else {
        see_off(cpu);
    }
    if (cpu->moving) {
        put_into_queue(cpu, cpu->moving);
        cpu->moving = NULL;
    }
    size_t count = run_queue_count(STORED(cpu->queue));
    for (size_t i = 0; i < count; i++) {
        struct task *task = run_queue_at(STORED(cpu->queue), i);
        withdraw_deadline(cpu, task);
        task->has_begun = true;
        task->state = TASK_READY;
    }
    if (count > 0 && cpu != this_cpu()) {
        cpu->wants_switch = true;
        dispatcher_hardware->wake(cpu->index);
    }
    unlock(cpu);
}

static void settle_held(uint64_t rsp)
{
    for (uint32_t i = 0; i < dispatcher_cpus_end; i++) {
        if (dispatcher_cpus[i] && is_held_here(dispatcher_cpus[i])) {
            settle(dispatcher_cpus[i], rsp);
            return;
        }
    }
}

void dispatcher_settle(uint64_t rsp)
{
    struct cpu *here = this_cpu();
    if (!here) {
        return;
    }
    settle_held(rsp);
    lock(here);
    let_arrive(here);
    look_again(here);
    unlock(here);
    if (dispatcher_switch_vectors) {
        dispatcher_switch_vectors(NULL, CPU_LOCAL(task));
    }
}
