/* SPDX-License-Identifier: MIT */
/*
 * Each task has a stack; a switch saves the registers that the ABI wants kept, there. ucontext
 * would do the same with two system calls, and ASan warns about it; so the switch is written out,
 * and ASan is told. The unwinding of a killed task runs on a stack of its own, as in the kernel,
 * with the task's identity: cpu_local and chain.
 *
 *      state     can run                          becomes
 *      READY     yes                              WAITING in parking_park(), ENDED
 *      WAITING   permit, deadline come, or dies   READY
 *      ENDED     no                               -
 */
#include "simulated_tasks.h"
#include "parking.h"
#include "preemption.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
    #include <sanitizer/asan_interface.h>
    #include <sanitizer/common_interface_defs.h>
#endif

#define STACK_SIZE    (128u * 1024) /* printf() under ASan is the deepest */
#define NEVER         UINT64_MAX
#define TICK_MAX_NS   4
#define LIMIT_DEFAULT 1000000

enum state { FREE, READY, WAITING, ENDED };

struct task {
    const char *name;
    void (*function)(void *argument);
    void *argument;
    void *stack_top;
    void *asan_stack;
    struct cpu_local local;
    struct own_slot *own_top;
    bool interrupts;
    enum state state;
    bool permit;
    bool dies;      /* killed, not yet unwound */
    bool unwinding; /* begun */
    bool spins;     /* since the last turn of one who does not: chosen where nobody else can run */
    unsigned priority;
    unsigned lent;
    unsigned references;
    uint64_t deadline;
    uint64_t points;
    uint64_t kill_at;
    const struct parking_reason *reason;
};

struct cpu_state {
    struct cpu_local local;
    struct own_slot *own_top;
    bool interrupts;
};

static struct simulation {
    struct simulated_options options;
    uint64_t random;
    uint64_t now;
    uint64_t turns;
    struct task tasks[SIMULATED_TASKS_MAX];
    struct task *current; /* NULL: the test itself runs */
    void *stack_top;      /* of the test */
    void *asan_stack;
    const void *asan_bottom;
    size_t asan_size;
    struct cpu_state outside;
} simulation;

/* For each task one to run on and one to be unwound on. */
static char stacks[SIMULATED_TASKS_MAX][2][STACK_SIZE] ALIGNED(16);

/* Leaves the stack that is in use at *from, and goes on with the one that was left at `to`. */
void simulated_switch(void **from, void *to);
__asm__(".text\n"
        ".globl simulated_switch\n"
        ".type simulated_switch, @function\n"
        "simulated_switch:\n"
        "    push %rbp\n"
        "    push %rbx\n"
        "    push %r12\n"
        "    push %r13\n"
        "    push %r14\n"
        "    push %r15\n"
        "    mov %rsp, (%rdi)\n"
        "    mov %rsi, %rsp\n"
        "    pop %r15\n"
        "    pop %r14\n"
        "    pop %r13\n"
        "    pop %r12\n"
        "    pop %rbx\n"
        "    pop %rbp\n"
        "    ret\n"
        ".size simulated_switch, . - simulated_switch\n");

#if defined(__SANITIZE_ADDRESS__)
static void leave_stack(void **keep, const void *bottom, size_t size)
{
    __sanitizer_start_switch_fiber(keep, bottom, size);
}

static void arrive_on_stack(void *kept, const void **bottom, size_t *size)
{
    __sanitizer_finish_switch_fiber(kept, bottom, size);
}

static void clean_stack(void *stack)
{
    __asan_unpoison_memory_region(stack, STACK_SIZE);
}
#else
static void leave_stack(void **keep, const void *bottom, size_t size)
{
    (void)keep, (void)bottom, (void)size;
}

static void arrive_on_stack(void *kept, const void **bottom, size_t *size)
{
    (void)kept, (void)bottom, (void)size;
}

static void clean_stack(void *stack)
{
    (void)stack;
}
#endif

NORETURN void simulated_fail(const char *file, int line, const char *text)
{
    const struct task *task = simulation.current;
    fprintf(stderr, "%s:%d: %s\n  task %s, point %llu\n", file, line, text,
            task ? task->name : "(none)", task ? (unsigned long long)task->points : 0);
    simulated_report();
    abort();
}

/* xorshift64*: any seed but 0. */
uint32_t simulated_random(uint32_t bound)
{
    uint64_t x = simulation.random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    simulation.random = x;
    return (uint32_t)((x * 0x2545f4914f6cdd1dull) >> 32) % bound;
}

/* ---- turns ---- */

static char *stack_of(const struct task *task, bool unwinding)
{
    return stacks[task - simulation.tasks][unwinding];
}

static struct cpu_state save_cpu(void)
{
    return (struct cpu_state){cpu_local_of_thread, OWN_TOP, host_interrupts};
}

static void load_cpu(const struct cpu_state *state)
{
    cpu_local_of_thread = state->local;
    OWN_TOP = state->own_top;
    host_interrupts = state->interrupts;
}

/* From a task back to simulated_run(), until it is chosen again. */
static void give_way(void)
{
    struct task *task = simulation.current;
    struct cpu_state state = save_cpu();
    task->local = state.local;
    task->own_top = state.own_top;
    task->interrupts = state.interrupts;
    leave_stack(&task->asan_stack, simulation.asan_bottom, simulation.asan_size);
    simulated_switch(&task->stack_top, simulation.stack_top);
    arrive_on_stack(task->asan_stack, NULL, NULL);
}

static void unwind(struct task *task)
{
    uintptr_t low = (uintptr_t)stack_of(task, false);
    (void)own_unwind(NULL, low, low + STACK_SIZE);
    if (OWN_TOP) {
        simulated_fail(__FILE__, __LINE__, "the chain of a killed task is broken");
    }
    preemption_restore(0);
    host_interrupts = true;
}

/* What a stack begins with. */
static void begin_coroutine(void)
{
    arrive_on_stack(NULL, &simulation.asan_bottom, &simulation.asan_size);
    struct task *task = simulation.current;
    if (task->unwinding) {
        unwind(task);
    } else {
        task->function(task->argument);
    }
    simulated_assert(!OWN_TOP);
    simulated_assert(preemption_count() == 0);
    simulated_assert(host_interrupts);
    task->state = ENDED;
    give_way();
}

static void prepare_stack(struct task *task, bool unwinding)
{
    char *stack = stack_of(task, unwinding);
    clean_stack(stack);
    uintptr_t *top = (uintptr_t *)(stack + STACK_SIZE);
    *--top = 0; /* where begin_coroutine() would return to */
    *--top = (uintptr_t)begin_coroutine;
    for (unsigned registers = 0; registers < 6; registers++) {
        *--top = 0;
    }
    task->stack_top = top;
    task->asan_stack = NULL;
}

static void resume(struct task *task)
{
    if (task->dies && !task->unwinding) {
        task->unwinding = true;
        prepare_stack(task, true);
    }
    simulation.current = task;
    simulation.outside = save_cpu();
    struct cpu_state state = {task->local, task->own_top, task->interrupts};
    load_cpu(&state);
    leave_stack(&simulation.asan_stack, stack_of(task, task->unwinding), STACK_SIZE);
    simulated_switch(&simulation.stack_top, task->stack_top);
    arrive_on_stack(simulation.asan_stack, NULL, NULL);
    load_cpu(&simulation.outside);
    simulation.current = NULL;
}

static bool can_run(const struct task *task)
{
    return task->state == READY ||
           (task->state == WAITING &&
            (task->permit || (task->dies && !task->unwinding) || task->deadline <= simulation.now));
}

static unsigned effective_priority(const struct task *task)
{
    return task->lent > task->priority ? task->lent : task->priority;
}

/* Those who can run, and of these the most urgent where priorities count. */
static unsigned find_candidates(struct task **candidates, bool spinning)
{
    unsigned count = 0;
    unsigned highest = 0;
    for (unsigned i = 0; i < SIMULATED_TASKS_MAX; i++) {
        struct task *task = &simulation.tasks[i];
        if (!can_run(task) || task->spins != spinning) {
            continue;
        }
        unsigned priority = simulation.options.by_priority ? effective_priority(task) : 0;
        if (priority > highest) {
            highest = priority;
            count = 0;
        }
        if (priority == highest) {
            candidates[count++] = task;
        }
    }
    return count;
}

/* Draws one of those who can run; NULL: there is none. */
static struct task *choose(void)
{
    struct task *candidates[SIMULATED_TASKS_MAX];
    unsigned count = find_candidates(candidates, false);
    if (!count) {
        count = find_candidates(candidates, true);
    }
    return count ? candidates[simulated_random(count)] : NULL;
}

/* Moves time to the next deadline; false: nobody waits for one. */
static bool skip_time(void)
{
    uint64_t next = NEVER;
    for (unsigned i = 0; i < SIMULATED_TASKS_MAX; i++) {
        const struct task *task = &simulation.tasks[i];
        if (task->state == WAITING && task->deadline < next) {
            next = task->deadline;
        }
    }
    if (next == NEVER) {
        return false;
    }
    simulation.now = next;
    return true;
}

static void give_turn(struct task *task)
{
    task->state = READY;
    task->spins = false;
    resume(task);
    for (unsigned i = 0; i < SIMULATED_TASKS_MAX && !task->spins; i++) {
        simulation.tasks[i].spins = false;
    }
}

static bool anybody_lives(void)
{
    for (unsigned i = 0; i < SIMULATED_TASKS_MAX; i++) {
        enum state state = simulation.tasks[i].state;
        if (state == READY || state == WAITING) {
            return true;
        }
    }
    return false;
}

enum simulated_result simulated_run(void)
{
    uint64_t limit = simulation.turns + simulation.options.limit;
    while (anybody_lives()) {
        struct task *task = choose();
        if (!task) {
            if (!skip_time()) {
                return SIMULATED_DEADLOCK;
            }
            continue;
        }
        if (simulation.turns++ == limit) {
            return SIMULATED_ENDLESS;
        }
        give_turn(task);
    }
    return SIMULATED_DONE;
}

/* Here the running task dies, if so it was ordered; it does not come back then. */
static void maybe_die(struct task *task)
{
    if (task->unwinding) {
        return;
    }
    if (task->points++ == task->kill_at) {
        task->dies = true;
    }
    if (task->dies) {
        give_way();
    }
}

void simulated_point(void)
{
    struct task *task = simulation.current;
    if (!task) {
        return;
    }
    simulation.now += 1 + simulated_random(TICK_MAX_NS);
    maybe_die(task);
    bool stays = simulation.options.by_priority && (preemption_count() || !host_interrupts);
    if (!stays && simulated_random(2)) {
        give_way();
    }
}

/* ---- what the code under test calls ---- */

/* preemption.h and x86.h, on a host. */
void simulated_hold(void);
void simulated_hold(void)
{
    if (simulation.options.locks) {
        simulated_point();
    }
}

void simulated_relax(void);
void simulated_relax(void)
{
    if (simulation.current) {
        simulation.now++;
        maybe_die(simulation.current);
        simulation.current->spins = true;
        give_way();
    }
}

static enum status park(uint64_t deadline, const struct parking_reason *reason)
{
    struct task *task = simulation.current;
    simulated_assert(task);
    simulated_assert(preemption_count() == 0);
    simulated_assert(host_interrupts);
    simulated_point();
    if (!task->permit) {
        task->deadline = deadline;
        task->reason = reason;
        task->state = WAITING;
        maybe_die(task); /* while it waits: others see that it does */
        give_way();
        task->reason = NULL;
        task->deadline = NEVER;
    }
    enum status status = task->permit ? OK : ERR_TIMEOUT;
    task->permit = false;
    simulated_point();
    return status;
}

static void unpark(struct task *task)
{
    simulated_assert(task >= simulation.tasks && task < simulation.tasks + SIMULATED_TASKS_MAX);
    simulated_assert(task->state == READY || task->state == WAITING || task->references);
    task->permit = true;
    simulated_point();
}

static void get(struct task *task, struct task **out)
{
    simulated_assert(task->state == READY || task->state == WAITING || task->references);
    task->references++;
    *out = task;
}

static void put(struct task **slot)
{
    simulated_assert((*slot)->references);
    (*slot)->references--;
    *slot = NULL;
}

static enum status hand_over(struct task *task, uint64_t deadline,
                             const struct parking_reason *reason)
{
    unpark(task);
    return park(deadline, reason);
}

static uint64_t now(void)
{
    return simulation.now;
}

static unsigned priority(const struct task *task)
{
    return effective_priority(task);
}

static void lend(struct task *task, unsigned value)
{
    simulated_assert(task->state == READY || task->state == WAITING);
    task->lent = value;
}

static bool reason_of(const struct task *task, struct parking_reason *out)
{
    if (task->state != WAITING || !task->reason) {
        return false;
    }
    *out = *task->reason;
    return true;
}

static const char *name_of(const struct task *task)
{
    return task ? task->name : "(none)";
}

static const struct parking_operations operations = {
    .park = park,
    .unpark = unpark,
    .hand_over = hand_over,
    .now = now,
    .priority = priority,
    .lend = lend,
    .reason = reason_of,
    .name = name_of,
    .get = get,
    .put = put,
};

/* ---- what tests call ---- */

void simulated_begin(const struct simulated_options *options)
{
    memset(&simulation, 0, sizeof(simulation));
    simulation.options = *options;
    simulation.random = options->seed * 0x9e3779b97f4a7c15ull + 0x632be59bd9b4e019ull;
    if (!simulation.random) {
        simulation.random = 1;
    }
    if (!options->limit) {
        simulation.options.limit = LIMIT_DEFAULT;
    }
    parking_set(&operations);
}

void simulated_end(void)
{
    for (unsigned i = 0; i < SIMULATED_TASKS_MAX; i++) {
        simulation.tasks[i].dies |= simulation.tasks[i].state != FREE;
    }
    simulation.turns = 0;
    if (simulated_run() != SIMULATED_DONE) {
        simulated_fail(__FILE__, __LINE__, "what is killed at the end does not end");
    }
    parking_set(NULL);
    memset(&simulation.tasks, 0, sizeof(simulation.tasks));
}

struct task *simulated_spawn(const char *name, unsigned priority_of_task,
                             void (*function)(void *argument), void *argument)
{
    unsigned i = 0;
    while (i < SIMULATED_TASKS_MAX && simulation.tasks[i].state != FREE) {
        i++;
    }
    simulated_assert(i < SIMULATED_TASKS_MAX);
    struct task *task = &simulation.tasks[i];
    *task = (struct task){
        .name = name,
        .function = function,
        .argument = argument,
        .local = {.self = &cpu_local_of_thread, .hold = HOLD_UNWANTED, .index = i, .task = task},
        .interrupts = true,
        .state = READY,
        .priority = priority_of_task,
        .deadline = NEVER,
        .kill_at = NEVER,
    };
    prepare_stack(task, false);
    return task;
}

void simulated_report(void)
{
    fprintf(stderr, "simulated tasks, seed %llu, turn %llu, %llu ns\n",
            (unsigned long long)simulation.options.seed, (unsigned long long)simulation.turns,
            (unsigned long long)simulation.now);
    for (unsigned i = 0; i < SIMULATED_TASKS_MAX; i++) {
        const struct task *task = &simulation.tasks[i];
        if (task->state == FREE) {
            continue;
        }
        static const char *const states[] = {"", "ready", "waits", "ended"};
        fprintf(stderr, "  %-12s %s%s, priority %u lent %u, %llu points", task->name,
                states[task->state], task->dies ? ", killed" : "", task->priority, task->lent,
                (unsigned long long)task->points);
        if (task->state == WAITING && task->reason) {
            fprintf(stderr, ", for %s %p", task->reason->what, task->reason->object);
        }
        fputc('\n', stderr);
    }
}

void simulated_yield(void)
{
    simulated_point();
}

void simulated_sleep(uint64_t duration_ns)
{
    static const struct parking_reason sleeping = {.what = "sleep"};
    uint64_t deadline = parking_deadline(duration_ns);
    while (simulation.now < deadline) {
        (void)!park(deadline, &sleeping);
    }
}

void simulated_kill(struct task *task)
{
    task->dies |= task->state != ENDED;
    if (task == simulation.current) {
        give_way();
    }
}

void simulated_kill_at(struct task *task, uint64_t point)
{
    task->kill_at = point;
}

bool simulated_was_killed(const struct task *task)
{
    return task->dies;
}

bool simulated_has_ended(const struct task *task)
{
    return task->state == ENDED;
}

uint64_t simulated_points(const struct task *task)
{
    return task->points;
}

bool simulated_anybody_holds(void)
{
    for (unsigned i = 0; i < SIMULATED_TASKS_MAX; i++) {
        const struct task *task = &simulation.tasks[i];
        bool runs = task == simulation.current;
        uint32_t hold = runs ? CPU_LOCAL(hold) : task->local.hold;
        if (task->state != FREE && (hold & ~HOLD_UNWANTED)) {
            return true;
        }
    }
    return false;
}

unsigned simulated_lent(const struct task *task)
{
    return task->lent;
}
