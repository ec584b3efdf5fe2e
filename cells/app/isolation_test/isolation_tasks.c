/* SPDX-License-Identifier: MIT */
/*
 * Tasks that fault where no code of theirs is prepared for it: before their first instruction, as idle
 * tasks, and as those that serve others. While such a task does not run, where it goes on is made to be
 * somewhere else; so it faults in its CPU's next switch to it, with the dispatcher locked.
 */
#include "context.h"
#include "deferred.h"
#include "frame_allocator.h"
#include "freestanding.h"
#include "isolation_priv.h"
#include "task.h"
#include "timer.h"

#define PATIENCE      10000u /* looks, of 100 us each */
#define LOOK_NS       100000u
#define NOT_CANONICAL 0x0123456789abcdefull

/* Not what is expected. */
static NORETURN void fail(void)
{
    isolation_fault();
    __builtin_trap();
}

static void expect(bool is_right)
{
    if (!is_right) {
        fail();
    }
}

/* Where a task goes on that has lost its way. */
__attribute__((naked, noinline)) static void wilderness(void)
{
    __asm__("ud2");
}

static const uint64_t places[] = {(uintptr_t)wilderness, 0, NOT_CANONICAL};

static void derail(const struct task *task, void *place)
{
    ((struct task *)(uintptr_t)task)->context[CONTEXT_RESUME] = *(const uint64_t *)place;
}

/* False: it runs. */
static bool try_to_derail(const struct task *task, const uint64_t *place)
{
    uint32_t cpu;
    return dispatcher_look(task, derail, (void *)(uintptr_t)place, &cpu);
}

static void wait_until_it_was_there(const struct task *task, uint64_t place)
{
    for (unsigned i = 0; i < PATIENCE; i++) {
        if (__atomic_load_n(&task->context[CONTEXT_RESUME], __ATOMIC_RELAXED) != place) {
            return;
        }
        task_sleep(LOOK_NS);
    }
    expect(false);
}

/* ---- idle tasks ---- */

/* On its CPU, so that it does not run. */
static int derail_idle_task(uint32_t *cpu)
{
    const struct task *idle = dispatcher_idle_task(*cpu);
    for (unsigned i = 0; i < ARRAY_COUNT(places); i++) {
        expect(try_to_derail(idle, &places[i]));
        wait_until_it_was_there(idle, places[i]);
    }
    return 1;
}
TASK_DEFINE(derailer, uint32_t, int, derail_idle_task);

static void fault_as_idle(void)
{
    for (uint32_t cpu = 0; cpu < DISPATCHER_CPUS; cpu++) {
        const struct task_options options = {.is_pinned = true, .cpu = cpu};
        OWNED(derailer_task, task);
        int result = 0;
        if (!dispatcher_has_cpu(cpu)) {
            continue;
        }
        enum status status = derailer_spawn(&cpu, &options, SLOT(task));
        if (status != OK) {
            fail();
        }
        status = derailer_join(SLOT(task), &result);
        if (status != OK) {
            fail();
        }
    }
}

/* ---- tasks that have not begun ---- */

struct OWN_CAPABILITY("luggage") luggage {
    struct frames *frames; /* owned */
    int *begun;
};
OWN_DECLARE_LOCAL(luggage);

static NOINLINE void luggage_drop(struct luggage **handle)
{
    if (*handle) {
        frames_drop(&(*handle)->frames);
    }
    EMPTY(handle);
}

static int begin(struct luggage *luggage)
{
    ++*luggage->begun;
    return 1;
}
TASK_DEFINE_OWNING(traveller, struct luggage, int, begin, luggage_drop);

/* Where it was on its way before it could be derailed it was begun. */
static bool lose_traveller(const uint64_t *place) OWN_UNCHECKED
{
    OWNED(traveller_task, task);
    struct luggage storage = {NULL, NULL};
    int begun = 0;
    int result = 0;
    OWNED(luggage, luggage);
    FILL(SLOT(luggage), &storage);
    storage.begun = &begun;
    expect(frame_allocator_take(1, 1, &storage.frames) == OK);
    const struct task_options options = {.is_pinned = true, .cpu = CPU_LOCAL(index)};
    bool is_derailed;
    {
        GUARD(preemption, held, PREEMPTION);
        expect(traveller_spawn(SLOT(luggage), &options, SLOT(task)) == OK);
        const struct task *own = (const struct task *)(const void *)REF(task);
        is_derailed = try_to_derail(own, place);
    }
    expect(!HELD(luggage));
    enum status status = traveller_join(SLOT(task), &result);
    return is_derailed && status == ERR_FAULT && begun == 0;
}

static int fault_at_first(int *unused)
{
    (void)unused;
    for (unsigned i = 0; i < ARRAY_COUNT(places); i++) {
        expect(lose_traveller(&places[i]));
    }
    return 1;
}
TASK_DEFINE(guide, int, int, fault_at_first);

/* On one CPU, where nobody takes over what is to be derailed. */
static void fault_before_begin(void)
{
    static const struct task_options options = {.is_pinned = true};
    OWNED(guide_task, task);
    int result = 0;
    enum status status = guide_spawn(&(int){0}, &options, SLOT(task));
    if (status != OK) {
        fail();
    }
    status = guide_join(SLOT(task), &result);
    if (status != OK) {
        fail();
    }
}

/* ---- services ---- */

static void note_call(void *calls)
{
    __atomic_add_fetch((unsigned *)calls, 1, __ATOMIC_RELAXED);
}

static enum status note_work(void *calls, uint64_t pushes)
{
    (void)pushes;
    note_call(calls);
    return OK;
}

static void wait_for_calls(const unsigned *calls, unsigned wanted)
{
    for (unsigned i = 0; i < PATIENCE; i++) {
        if (__atomic_load_n(calls, __ATOMIC_RELAXED) >= wanted) {
            return;
        }
        task_sleep(LOOK_NS);
    }
    expect(false);
}

/* The newest of that name, when it waits. */
static void derail_service(const char *name, const uint64_t *place)
{
    struct task_information task = {0};
    uint64_t id = 0;
    while (task_next(task.id, &task)) {
        id = strcmp(task.name, name) == 0 ? task.id : id;
    }
    OWNED(task_handle, handle);
    enum status status = task_lookup(id, SLOT(handle));
    if (status != OK) {
        fail();
    }
    const struct task *service = (const struct task *)(const void *)REF(handle);
    for (unsigned i = 0; i < PATIENCE; i++) {
        if (service->state == TASK_BLOCKED && try_to_derail(service, place)) {
            return;
        }
        task_sleep(LOOK_NS);
    }
    expect(false);
}

static void fault_as_timers(void)
{
    unsigned calls = 0;
    OWNED(timer, far);
    enum status status = timer_create(PARK_FOREVER - 1, 0, note_call, &calls, SLOT(far));
    if (status != OK) {
        fail();
    }
    for (unsigned i = 0; i < ARRAY_COUNT(places); i++) {
        OWNED(timer, now);
        derail_service("timers", &places[i]);
        status = timer_create(parking_now(), 0, note_call, &calls, SLOT(now));
        if (status != OK) {
            fail();
        }
        wait_for_calls(&calls, i + 1);
    }
    timer_drop(SLOT(far));
    expect(calls == ARRAY_COUNT(places));
}

static void fault_as_deferred(void)
{
    unsigned calls = 0;
    OWNED(deferred_queue, queue);
    OWNED(deferred_work, work);
    enum status status = deferred_queue_create("isolated", NULL, SLOT(queue));
    if (status != OK) {
        fail();
    }
    status = deferred_work_create(REF(queue), note_work, &calls, SLOT(work));
    if (status != OK) {
        fail();
    }
    for (unsigned i = 0; i < ARRAY_COUNT(places); i++) {
        derail_service("isolated", &places[i]);
        status = deferred_work_push(REF(work));
        if (status != OK) {
            fail();
        }
        wait_for_calls(&calls, i + 1);
    }
    deferred_work_drop(SLOT(work));
    deferred_queue_drop(SLOT(queue));
    expect(calls == ARRAY_COUNT(places));
}

static const struct isolation_kind kinds[] = {
    {"faults as each idle task", fault_as_idle, 0, true, 0},
    {"faults before a first instruction", fault_before_begin, 0, true, 0},
    {"faults as the task of the timers", fault_as_timers, 0, true, 0},
    {"faults as a task of deferred work", fault_as_deferred, 0, true, 0},
};

unsigned isolation_try_tasks(unsigned *count)
{
    unsigned failures = 0;
    OWNED(timer, first); /* their task is there for good */
    unsigned calls = 0;
    enum status status = timer_create(parking_now(), 0, note_call, &calls, SLOT(first));
    if (status != OK) {
        return 1;
    }
    wait_for_calls(&calls, 1);
    for (unsigned i = 0; i < ARRAY_COUNT(kinds); i++) {
        failures += !isolation_try(&kinds[i], 0);
        ++*count;
    }
    return failures;
}
