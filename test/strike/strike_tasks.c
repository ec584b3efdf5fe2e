/* SPDX-License-Identifier: MIT */
/*
 * Tasks: after a strike in the one that spawns and joins, or in one that was spawned, each task is not there
 * or runs once, each result and each end is told once, and nothing that a task had is lost: its
 * stack, its record, its room in the run queues, the count in its cell.
 *
 * Stacks are variables, and are switched by the real code. All tasks are struck, idle ones too, from the first
 * instruction on their stacks to the last of their switch away from it. A task that is struck goes on at its
 * base, as it would by catch.h; then the case goes on to its end, and the check after that.
 */
#include "address_map.h"
#include "backtrace.h"
#include "catch.h"
#include "cell_tasks.h"
#include "commit.h"
#include "exceptions.h"
#include "heap.h"
#include "kill_deferral.h"
#include "logger.h"
#include "own_collections.h"
#include "owned.h"
#include "strike.h"
#include "strike_heap.h"
#include "task.h"
#include "timer.h"

#include <setjmp.h>

/* ---- stacks, and where tasks go on ---- */

#define STACKS      5u
#define STACK_BYTES 10240u /* below it signals of the test have room */

struct stack {
    ALIGNED(16) uint8_t memory[STACK_BYTES];
};

static struct stack stacks[STACKS];
static uint64_t is_used[STACKS];
static bool refuses_stacks;

static struct base {
    catch_again_t again; /* NULL: the stack is nobody's */
    void *argument;
    uint64_t top;
} bases[STACKS + 1]; /* the last one: of a CPU that never runs on the case's stack again */

/* Whose stack that is; STACKS: the case's. */
STRIKE_NOT static size_t stack_of(uintptr_t rsp)
{
    for (size_t i = 0; i < STACKS; i++) {
        if (rsp - (uintptr_t)stacks[i].memory <= STACK_BYTES) {
            return i;
        }
    }
    return STACKS;
}

enum status stack_create(size_t bytes, const char *name, struct stack **out)
{
    for (size_t i = 0; i < STACKS && !refuses_stacks; i++) {
        if (!is_used[i]) {
            commit_two(&is_used[i], 1, out, &stacks[i]);
            return OK;
        }
    }
    return ERR_NO_MEMORY;
}

void stack_drop(struct stack **handle)
{
    if (*handle) {
        size_t i = (size_t)(*handle - stacks);
        strike_demand(is_used[i] && i != stack_of((uintptr_t)__builtin_frame_address(0)));
        commit_two(&is_used[i], 0, handle, NULL);
    }
}

vaddr_t stack_top(const struct stack *stack)
{
    return (vaddr_t)(stack + 1);
}

vaddr_t stack_bottom(const struct stack *stack)
{
    return stack_top(stack) - TASK_STACK_SIZE; /* as large as was asked for */
}

static unsigned count_stacks(void)
{
    unsigned count = 0;
    for (size_t i = 0; i < STACKS; i++) {
        count += is_used[i] != 0;
    }
    return count;
}

/* ---- where tasks go on ---- */

uint64_t catch_base(uint64_t top, catch_again_t again, void *argument, struct own_slot **out_top)
{
    struct base *base = &bases[stack_of(top)];
    *base = (struct base){again, argument, top - CATCH_BASE_SIZE};
    *out_top = NULL;
    return base->top;
}

/* With an empty stack and interrupts off. */
STRIKE_NOT static __attribute__((noreturn)) void go_on(size_t whose, enum status status)
{
    static const struct catch_reason reason = {.is_complete = true};
    const struct base *base = &bases[whose];
    strike_demand(base->again);
    disable_interrupts();
    __asm__ volatile("movq %0, %%rsp\n\t"
                     "xorl %%ebp, %%ebp\n\t"
                     "call *%1\n\t"
                     "ud2"
                     :
                     : "r"(base->top), "r"(base->again), "D"(base->argument), "S"((uint64_t)status),
                       "d"(&reason)
                     : "memory");
    __builtin_unreachable();
}

/* What is released after a fault is so on another stack, and to the end. */
STRIKE_NOT void catch_kill(const struct kill_deferral **out_by)
{
    static const struct kill_deferral releasing = {.what = "the release of slots"};
    size_t whose = stack_of((uintptr_t)__builtin_frame_address(0));
    if (whose == STACKS) {
        *out_by = &releasing;
        return;
    }
    (void)own_unwind(NULL, 0, UINTPTR_MAX);
    go_on(whose, ERR_KILLED);
}

static bool is_in_function;

/* What strikes in the function would be caught here; what strikes around it is struck. */
STRIKE_NOT enum status catch_unwind(void (*function)(void *argument), void *argument,
                                    struct catch_reason *out_reason)
{
    is_in_function = true;
    function(argument);
    is_in_function = false;
    return OK;
}

void catch_set_settle(void (*function)(uint64_t rsp))
{
}

void catch_log_losses(const char *who, const struct catch_reason *reason)
{
}

void exceptions_print(const struct exception_frame *frame)
{
}

/* ---- what these cells call and is not there ---- */

void logger_write(enum log_level level, const char *cell, const char *format, ...)
{
}

size_t owned_describe(const struct own_slot *top, char *buffer, size_t size)
{
    return 0;
}

void backtrace_begin(struct backtrace *backtrace, const uint64_t registers[CFI_REGISTER_COUNT],
                     bool is_exact)
{
}

enum unwind_outcome unwind_step(struct unwind_cursor *cursor)
{
    return UNWIND_END;
}

static struct cell cell; /* of all addresses */
static const struct section section = {.cell = &cell};

const struct section *address_map_find(uint64_t address)
{
    return &section;
}

uint64_t address_map_generation(void)
{
    return 1;
}

void address_map_enter(void)
{
}

void address_map_leave(void)
{
}

/* What is made at the start, for good. */
static ALIGNED(16) uint8_t for_good[4096];
static size_t for_good_used;

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = for_good + for_good_used;
    for_good_used += (bytes + 15) & ~(size_t)15;
    strike_demand(for_good_used <= sizeof(for_good));
    return block;
}

void heap_free(void *block)
{
    strike_demand(!block);
}

/* ---- the machine ---- */

static uint64_t machine_time;
static uint64_t alarm_time = PARK_FOREVER;

static uint64_t get_time(void)
{
    return machine_time;
}

static void set_alarm(uint64_t deadline)
{
    alarm_time = deadline;
}

/* The other one does not listen: what it should do others take over. */
static void wake(uint32_t cpu)
{
    strike_demand(cpu == 1 && dispatcher_has_cpu(1));
}

static jmp_buf other_halts;

/* Within an interrupt's handler the fault is the handler's (interrupt_catch.h). */
static bool is_in_handler;

STRIKE_NOT static bool is_struck(uintptr_t rsp)
{
    return !is_in_handler && !is_in_function;
}

STRIKE_NOT void enable_interrupts_and_halt(void)
{
    if (CPU_LOCAL(index) == 1) {
        _longjmp(other_halts, 1);
    }
    strike_demand(alarm_time != PARK_FOREVER); /* else nobody ever runs again */
    machine_time = alarm_time > machine_time ? alarm_time : machine_time;
    alarm_time = PARK_FOREVER;
    disable_interrupts();
    is_in_handler = true;
    dispatcher_timer_interrupt();
    is_in_handler = false;
    enable_interrupts();
    if (CPU_LOCAL(hold) == 0) {
        preemption_switch();
    }
}

static const struct task *boot_task;
static unsigned stacks_for_good;
static unsigned blocks_for_good;
static unsigned tasks_for_good; /* that of the timers */
static jmp_buf check_again;
static bool has_gone_on;

static void begin_idle_again(void *unused, enum status status, const struct catch_reason *reason)
{
    dispatcher_idle_again();
}

static uint64_t lay_base(uint64_t top, struct own_slot **out_top)
{
    return catch_base(top, begin_idle_again, NULL, out_top);
}

static void prepare(void)
{
    static const struct dispatcher_hardware hardware = {get_time, set_alarm, wake};
    dispatcher_set_base(lay_base);
    strike_demand(dispatcher_start(&hardware, "test") == OK);
    boot_task = dispatcher_boot_task();
    stacks_for_good = count_stacks();
    blocks_for_good = strike_heap_used();
    strike_set_filter(is_struck);
    strike_set_settle(dispatcher_settle);
}

#define BLOCKS_OF_CPU 3u /* record, idle task, run queue */

/* ---- tasks ---- */

#define RUNS_MAX 4u

static unsigned runs[RUNS_MAX];   /* of the task with this argument */
static unsigned spawns[RUNS_MAX]; /* that said OK */

static uint64_t square(uint64_t *number)
{
    runs[*number]++;
    return *number * *number;
}
TASK_DEFINE(square, uint64_t, uint64_t, square);

static uint64_t square_slowly(uint64_t *number)
{
    task_yield();
    runs[*number]++;
    task_sleep(100 * *number);
    return *number * *number;
}
TASK_DEFINE(slow, uint64_t, uint64_t, square_slowly);

/* Of one that was not struck: OK; else what befell it, or the caller without memory. */
STRIKE_NOT static void note_join(enum status status, uint64_t result, uint64_t number)
{
    strike_demand(status == OK || (strike_has_struck() && status == ERR_FAULT));
    strike_demand(status != OK || (result == number * number && runs[number] == 1));
}

static bool spawn(uint64_t number, const struct task_options *options,
                  struct square_task **out) OWN_UNCHECKED
{
    if (square_spawn(&number, options, out) != OK) {
        return false;
    }
    spawns[number]++;
    return true;
}

static void spawn_and_join(uint64_t number) OWN_UNCHECKED
{
    OWNED(square_task, task);
    if (spawn(number, NULL, SLOT(task))) {
        uint64_t result = 0;
        enum status status = square_join(SLOT(task), &result);
        note_join(status, result, number);
    }
}

/* ---- the truth ---- */

/* As the task that boots: everybody else ends, and leaves nothing. */
static void check_as_boot(void)
{
    strike_demand(CPU_LOCAL(task) == boot_task);
    strike_demand(preemption_count() == 0);
    strike_demand(interrupts_enabled());
    refuses_stacks = false;
    strike_heap_refuse(false);
    for (unsigned i = 0; i < 20 && task_statistics().tasks > tasks_for_good; i++) {
        task_sleep(1000);
    }
    strike_demand(task_statistics().tasks == tasks_for_good);
    strike_demand(dispatcher_statistics(0).ready == 0);
    task_release_stacks();
    strike_demand(task_statistics().stacks == 0);
    strike_demand(count_stacks() == stacks_for_good);
    strike_demand(strike_heap_used() == blocks_for_good);
    strike_demand(cell.task_count == tasks_for_good);
    strike_demand(boot_task->references == 1);
    for (unsigned i = 0; i < RUNS_MAX; i++) {
        strike_demand(runs[i] <= 1 && spawns[i] <= 1);
    }
}

#define ROOM 64u /* what run queues have room for at first: dispatcher_cpus.c */

static uint64_t admissions[2 * ROOM + 1];
static unsigned held; /* by the case */

/* As many can be admitted as there is room for, but for this one: nobody is counted who is not there. */
static void check_admissions(unsigned room)
{
    while (held > 0) {
        dispatcher_dismiss(&admissions[--held]);
    }
    strike_heap_refuse(true);
    unsigned count = 0;
    while (dispatcher_admit(&admissions[count]) == OK) {
        count++;
        strike_demand(count < ARRAY_COUNT(admissions));
    }
    strike_heap_refuse(false);
    count += 1 + tasks_for_good;
    strike_demand(count == room || (room > ROOM && count == ROOM));
    count -= 1 + tasks_for_good;
    while (count > 0) {
        dispatcher_dismiss(&admissions[--count]);
    }
}

static void use_again(void)
{
    for (unsigned i = 0; i < RUNS_MAX; i++) {
        runs[i] = spawns[i] = 0;
    }
    OWNED(square_task, first);
    OWNED(square_task, second);
    uint64_t result = 0;
    strike_demand(spawn(2, NULL, SLOT(first)) && spawn(3, NULL, SLOT(second)));
    strike_demand(square_join(SLOT(second), &result) == OK && result == 9);
    strike_demand(square_join(SLOT(first), &result) == OK && result == 4);
}

/* A task that was struck goes on first, and operate() comes back when the case has ended. */
static void check_room(unsigned room)
{
    size_t whose = STACKS;
    const struct task *self = CPU_LOCAL(task);
    if (self != boot_task) {
        whose = (size_t)(self->stack - stacks);
    }
    if (whose != STACKS && _setjmp(check_again) == 0) {
        has_gone_on = true;
        go_on(whose, ERR_FAULT);
    }
    has_gone_on = false;
    check_as_boot();
    check_admissions(room);
    use_again();
    check_as_boot();
}

static void check(void)
{
    check_room(ROOM);
}

/* Who was struck may have been preempted in his release: then he comes first, and be he idle. */
STRIKE_NOT static void come_back(void)
{
    while (strike_has_struck() && !has_gone_on) {
        task_sleep(1);
    }
    if (has_gone_on) {
        _longjmp(check_again, 1);
    }
}

/* ---- cases ---- */

static void spawn_and_join_one(void)
{
    spawn_and_join(2);
    come_back();
}

static void spawn_one_after_another(void)
{
    spawn_and_join(1);
    spawn_and_join(2);
    spawn_and_join(3);
    come_back();
}

static void let_go_on_alone(void) OWN_UNCHECKED
{
    {
        OWNED(square_task, first);
        OWNED(square_task, second);
        (void)spawn(1, NULL, SLOT(first));
        (void)spawn(2, NULL, SLOT(second));
        square_task_drop(SLOT(first));
        task_yield();
    }
    (void)task_statistics();
    come_back();
}

static void join_in_other_order(void) OWN_UNCHECKED
{
    {
        OWNED(slow_task, first);
        OWNED(slow_task, second);
        uint64_t one = 1;
        uint64_t two = 2;
        uint64_t result = 0;
        if (slow_spawn(&one, NULL, SLOT(first)) == OK &&
            slow_spawn(&two, NULL, SLOT(second)) == OK) {
            enum status status = slow_wait(REF(first), 50);
            strike_demand(status == ERR_TIMEOUT || (status == OK && strike_has_struck()));
            status = slow_join(SLOT(second), &result);
            note_join(status, result, 2);
            status = slow_join(SLOT(first), &result);
            note_join(status, result, 1);
        }
    }
    come_back();
}

static void find_and_kill(void) OWN_UNCHECKED
{
    {
        OWNED(slow_task, task);
        OWNED(task_handle, again);
        uint64_t one = 1;
        uint64_t result;
        if (slow_spawn(&one, NULL, SLOT(task)) == OK) {
            uint64_t id = task_id((struct task_handle *)REF(task));
            task_yield();
            strike_demand(task_lookup(id, SLOT(again)) == OK);
            task_kill(REF(again));
            enum status status = slow_join(SLOT(task), &result);
            strike_demand(status == ERR_KILLED || (strike_has_struck() && status == ERR_FAULT));
        }
    }
    come_back();
}

static void prepare_without_stacks(void)
{
    prepare();
    refuses_stacks = true;
}

static void spawn_in_vain(void) OWN_UNCHECKED
{
    {
        OWNED(square_task, task);
        uint64_t two = 2;
        strike_demand(square_spawn(&two, NULL, SLOT(task)) == ERR_NO_MEMORY);
        strike_heap_refuse(true);
        strike_demand(square_spawn(&two, NULL, SLOT(task)) == ERR_NO_MEMORY);
        struct task_options wrong = {.priority = TASK_PRIORITIES};
        strike_demand(square_spawn(&two, &wrong, SLOT(task)) == ERR_INVALID_ARGUMENT);
        strike_demand(runs[2] == 0);
    }
    come_back();
}

static void prepare_full_queues(void)
{
    prepare();
    while (held + 1 < ROOM) {
        strike_demand(dispatcher_admit(&admissions[held]) == OK);
        held++;
    }
}

static void grow(void) OWN_UNCHECKED
{
    {
        OWNED(square_task, first);
        OWNED(square_task, second);
        uint64_t result = 0;
        if (spawn(1, NULL, SLOT(first)) && spawn(2, NULL, SLOT(second))) {
            enum status status = square_join(SLOT(first), &result);
            note_join(status, result, 1);
        }
    }
    come_back();
}

static void check_growth(void)
{
    check_room(2 * ROOM);
}

/* A CPU that is there stays for good, but does not run. */
static void add_cpu(void)
{
    {
        enum status status = dispatcher_add_cpu(1);
        strike_demand(status == OK);
        strike_demand(dispatcher_add_cpu(1) == ERR_EXISTS);
    }
    come_back();
}

static void check_cpu(void)
{
    unsigned used = strike_heap_used();
    bool is_there = dispatcher_idle_task(1);
    strike_demand(is_there == (used > blocks_for_good));
    strike_demand(is_there || strike_has_struck());
    strike_heap_refuse(true);
    strike_demand(dispatcher_add_cpu(1) == (is_there ? ERR_EXISTS : ERR_NO_MEMORY));
    strike_demand(strike_heap_used() == used);
    strike_heap_refuse(false);
    strike_demand(dispatcher_add_cpu(1) == (is_there ? ERR_EXISTS : OK));
    strike_demand(strike_heap_used() == blocks_for_good + BLOCKS_OF_CPU);
    blocks_for_good += BLOCKS_OF_CPU;
    check();
}

/* An argument that owns: dropped once, whatever becomes of its task and of who spawns that. */
struct bearer {
    uint64_t *what;
};
static uint64_t borne; /* how many */
OWN_DECLARE_LOCAL(bearer);

static NOINLINE void bearer_drop(struct bearer **handle)
{
    struct bearer *bearer = *handle;
    if (bearer && bearer->what) {
        strike_demand(borne == 1);
        commit_two(&borne, 0, &bearer->what, NULL);
    }
    EMPTY(handle);
}

static uint64_t bear(struct bearer *bearer)
{
    runs[1] += bearer->what == &borne;
    task_yield();
    return 1;
}
TASK_DEFINE_OWNING(bearer, struct bearer, uint64_t, bear, bearer_drop);

static void spawn_bearer(void) OWN_UNCHECKED
{
    {
        OWNED(bearer_task, task);
        OWNED_HERE(bearer, bearer);
        uint64_t result = 0;
        commit_two(&borne, 1, &REF(bearer)->what, &borne);
        strike_demand(bearer_spawn(SLOT(bearer), NULL, SLOT(task)) == OK && !HELD(bearer));
        strike_demand(borne == (runs[1] ? borne : 1));
        enum status status = bearer_join(SLOT(task), &result);
        strike_demand(status == OK || (strike_has_struck() && status == ERR_FAULT));
    }
    come_back();
}

/* Who spawns in vain keeps what he has; who lets a task go on alone, or kills it, has nothing more. */
static void spawn_bearer_in_vain(void) OWN_UNCHECKED
{
    {
        OWNED(bearer_task, task);
        OWNED_HERE(bearer, bearer);
        commit_two(&borne, 1, &REF(bearer)->what, &borne);
        refuses_stacks = true;
        strike_demand(bearer_spawn(SLOT(bearer), NULL, SLOT(task)) == ERR_NO_MEMORY);
        strike_demand(HELD(bearer) && borne == 1);
        refuses_stacks = false;
        strike_demand(bearer_spawn(SLOT(bearer), NULL, SLOT(task)) == OK);
        bearer_kill(REF(task));
    }
    come_back();
}

static void check_bearer(void)
{
    check();
    strike_demand(borne == 0);
}

/* A service goes on after a fault, from its beginning. */
static uint64_t served; /* rounds */

static uint64_t serve(uint64_t *rounds)
{
    while (served < *rounds) {
        served++;
        task_yield();
    }
    return served;
}
TASK_DEFINE(service, uint64_t, uint64_t, serve);

static void run_service(void) OWN_UNCHECKED
{
    {
        OWNED(service_task, task);
        static const struct task_options options = {.is_service = true};
        uint64_t rounds = 3;
        uint64_t result = 0;
        served = 0;
        if (service_spawn(&rounds, &options, SLOT(task)) == OK) {
            strike_demand(service_join(SLOT(task), &result) == OK);
            strike_demand(result == 3);
        }
    }
    come_back();
}

/* Timers: what is due is called once, whatever becomes of their task meanwhile. */
static unsigned calls_once;
static unsigned calls_again;

static void on_once(void *context)
{
    calls_once++;
}

static void on_again(void *context)
{
    calls_again++;
}

static void wait_for_timers(void) OWN_UNCHECKED
{
    OWNED(timer, once);
    OWNED(timer, again);
    uint64_t start = parking_now();
    calls_once = calls_again = 0;
    if (timer_create(start + 100, 0, on_once, NULL, SLOT(once)) == OK &&
        timer_create(start + 50, 100, on_again, NULL, SLOT(again)) == OK) {
        task_sleep_until(start + 200);
        timer_drop(SLOT(once));
        timer_drop(SLOT(again));
        strike_demand(calls_once == 1 && calls_again == 2);
    }
}

static void use_timers(void)
{
    wait_for_timers();
    come_back();
}

static void note_servant(void)
{
    task_release_stacks();
    stacks_for_good = count_stacks();
    blocks_for_good = strike_heap_used();
    tasks_for_good = 1;
}

static void prepare_timers(void)
{
    prepare();
    wait_for_timers();
    note_servant();
    strike_set_filter(is_struck);
}

static void check_timers(void)
{
    check_room(ROOM);
    wait_for_timers();
}

/*
 * Another CPU, whose idle task halts for good. It has less to do than the one that spawns, so new tasks are given to
 * it, and this one's idle task takes them over: the first of two.
 */
static void prepare_other_cpu(void)
{
    prepare();
    strike_demand(dispatcher_add_cpu(1) == OK);
    struct cpu_local here = cpu_local_of_thread;
    CPU_LOCAL(index) = 1;
    disable_interrupts();
    if (_setjmp(other_halts) == 0) {
        dispatcher_run_cpu();
    }
    cpu_local_of_thread = here;
    OWN_TOP = NULL;
    enable_interrupts();
    strike_demand(dispatcher_cpu_count() == 2);
    blocks_for_good = strike_heap_used();
}

static void spawn_for_other(void) OWN_UNCHECKED
{
    {
        OWNED(square_task, first);
        OWNED(square_task, second);
        uint64_t result = 0;
        if (spawn(1, NULL, SLOT(first)) && spawn(2, NULL, SLOT(second))) {
            enum status status = square_join(SLOT(second), &result);
            note_join(status, result, 2);
            status = square_join(SLOT(first), &result);
            note_join(status, result, 1);
        }
    }
    come_back();
    strike_demand(strike_has_struck() || dispatcher_statistics(1).moves == 1);
}

static void check_other(void)
{
    check();
    strike_demand(dispatcher_statistics(1).ready == 0 && dispatcher_statistics(1).moves >= 1);
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"spawn and join", prepare, spawn_and_join_one, check},
        {"one after another", prepare, spawn_one_after_another, check},
        {"handles that are dropped", prepare, let_go_on_alone, check},
        {"yields, deadlines, waits", prepare, join_in_other_order, check},
        {"lookup and kill", prepare, find_and_kill, check},
        {"without memory", prepare_without_stacks, spawn_in_vain, check},
        {"run queues that grow", prepare_full_queues, grow, check_growth},
        {"a CPU is added", prepare, add_cpu, check_cpu},
        {"an argument that owns", prepare, spawn_bearer, check_bearer},
        {"one that stays with its owner", prepare, spawn_bearer_in_vain, check_bearer},
        {"a service", prepare, run_service, check},
        {"timers and their task", prepare_timers, use_timers, check_timers},
        {"tasks that are taken over", prepare_other_cpu, spawn_for_other, check_other},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
