/* SPDX-License-Identifier: MIT */
/*
 * One thread plays one CPU. Its clock stands still until the idle task halts: then the alarm comes
 * at once. A task may also ask for the timer's interrupt (tick), as if it had struck there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sanitizer/asan_interface.h>

#include "backtrace.h"
#include "catch.h"
#include "exceptions.h"
#include "heap.h"
#include "interrupt_catch.h"
#include "kill_deferral.h"
#include "mutex.h"
#include "own_collections.h"
#include "owned.h"
#include "task.h"

/* ---- memory that can run out ---- */

struct stack {
    void *memory;
    size_t bytes;
    struct stack *next; /* of those that are there */
};

static struct stack *first_stack;

static long blocks;
static long stacks_alive;
static long refuse_at; /* the request that fails, counted down; 0: none */

static bool is_refused(void)
{
    return refuse_at && --refuse_at == 0;
}

void *heap_allocate(size_t bytes)
{
    if (is_refused()) {
        return NULL;
    }
    blocks++;
    return malloc(bytes);
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = heap_allocate(bytes);
    if (block) {
        memset(block, 0, bytes);
    }
    return block;
}

void heap_free(void *block)
{
    blocks -= block != NULL;
    free(block);
}

enum status stack_create(size_t bytes, const char *name, struct stack **out)
{
    (void)name;
    if (is_refused()) {
        return ERR_NO_MEMORY;
    }
    struct stack *stack = malloc(sizeof(*stack));
    *stack =
        (struct stack){aligned_alloc(16, bytes * 4), bytes * 4, first_stack}; /* ASan needs more */
    first_stack = stack;
    stacks_alive++;
    FILL(out, stack);
    return OK;
}

void stack_drop(struct stack **handle)
{
    if (*handle) {
        stacks_alive--;
        struct stack **link = &first_stack;
        while (*link != *handle) {
            link = &(*link)->next;
        }
        *link = (*handle)->next;
        free((*handle)->memory);
        free(*handle);
        *handle = NULL;
    }
}

vaddr_t stack_bottom(const struct stack *stack)
{
    return (vaddr_t)stack->memory + stack->bytes - stack->bytes / 4;
}

/* Asked for before the stack is used again: what ASan knows of frames that never returned is void.
 */
vaddr_t stack_top(const struct stack *stack)
{
    ASAN_UNPOISON_MEMORY_REGION(stack->memory, stack->bytes);
    return (vaddr_t)stack->memory + stack->bytes;
}

/* ---- exceptions: there are none in a process ---- */

void exceptions_print(const struct exception_frame *frame)
{
    (void)frame;
}

bool interrupt_catch_take(uint64_t registers[CFI_REGISTER_COUNT], bool *out_is_first)
{
    (void)registers;
    (void)out_is_first;
    return false;
}

bool owned_is_drop(uintptr_t drop)
{
    return drop != 0;
}

/* No chain is broken here. */
bool owned_is_intact_drop(uintptr_t drop)
{
    (void)drop;
    return false;
}

size_t owned_name(uintptr_t drop, char *buffer, size_t size)
{
    (void)drop;
    (void)buffer;
    (void)size;
    return 0;
}

enum status exception_handler_register(unsigned vector, const char *name,
                                       exception_function_t function, void *context,
                                       struct exception_handler **out)
{
    (void)vector;
    (void)name;
    (void)function;
    (void)context;
    (void)out;
    return ERR_UNSUPPORTED;
}

void exception_handler_drop(struct exception_handler **handle)
{
    *handle = NULL;
}

enum status stack_adopt(vaddr_t bottom, size_t bytes, const char *name)
{
    (void)bottom;
    (void)bytes;
    (void)name;
    return ERR_UNSUPPORTED;
}

bool stack_find(vaddr_t address, struct stack_place *out)
{
    for (const struct stack *stack = first_stack; stack; stack = stack->next) {
        vaddr_t bottom = (vaddr_t)stack->memory;
        if (address >= bottom && address < bottom + stack->bytes) {
            /* Who asks is a kill, after which the frames above do not return: see stack_top(). */
            ASAN_UNPOISON_MEMORY_REGION(stack->memory, stack->bytes);
            *out = (struct stack_place){"stack", STACK_INSIDE, bottom, bottom + stack->bytes};
            return true;
        }
    }
    return false;
}

/* ---- reports: of code that nobody loaded nothing is known ---- */

size_t owned_describe(const struct own_slot *top, char *buffer, size_t size)
{
    (void)size;
    buffer[0] = top ? 's' : '\0';
    buffer[1] = '\0';
    return 1;
}

static enum unwind_found find_no_code(void *context, uint64_t pc, struct unwind_code *out)
{
    (void)context;
    (void)pc;
    (void)out;
    return UNWIND_FOUND_NOTHING;
}

static bool find_no_stack(void *context, uint64_t address, uint64_t *out_low, uint64_t *out_high)
{
    (void)context;
    (void)address;
    (void)out_low;
    (void)out_high;
    return false;
}

void backtrace_begin(struct backtrace *backtrace, const uint64_t registers[CFI_REGISTER_COUNT],
                     bool is_exact)
{
    backtrace->source =
        (struct unwind_source){.find_code = find_no_code, .find_stack = find_no_stack};
    unwind_begin(&backtrace->cursor, &backtrace->source, NULL, registers, is_exact);
}

/* ---- a machine ---- */

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

static void wake(uint32_t cpu)
{
    (void)cpu;
    fail_msg("there is one CPU");
}

static void tick(void)
{
    disable_interrupts();
    preemption_hold();
    dispatcher_timer_interrupt();
    preemption_release();
    enable_interrupts();
    if (CPU_LOCAL(hold) == 0) {
        preemption_switch();
    }
}

void enable_interrupts_and_halt(void)
{
    assert_int_not_equal(alarm_time, PARK_FOREVER); /* else nobody ever runs again */
    machine_time = alarm_time > machine_time ? alarm_time : machine_time;
    alarm_time = PARK_FOREVER;
    tick();
}

static const struct dispatcher_hardware hardware = {get_time, set_alarm, wake};

static int start(void **state)
{
    (void)state;
    assert_int_equal(dispatcher_start(&hardware, "test"), OK);
    assert_int_equal(dispatcher_start(&hardware, "test"), ERR_STATE);
    return 0;
}

/* ---- tasks ---- */

struct range {
    uint64_t first;
    uint64_t last;
};

static uint64_t add_up(struct range *range)
{
    uint64_t sum = 0;
    for (uint64_t i = range->first; i <= range->last; i++) {
        sum += i;
        task_yield();
    }
    return sum;
}
TASK_DEFINE(adder, struct range, uint64_t, add_up);

static char trace[64];
static size_t trace_count;

static void note(char sign)
{
    assert_true(trace_count < sizeof(trace) - 1);
    trace[trace_count++] = sign;
    trace[trace_count] = '\0';
}

static void clear_trace(void)
{
    trace_count = 0;
    trace[0] = '\0';
}

static int note_three_times(char *sign)
{
    for (int i = 0; i < 3; i++) {
        note(*sign);
        task_yield();
    }
    return *sign;
}
TASK_DEFINE(noter, char, int, note_three_times);

static uint64_t sleep_for(uint64_t *duration)
{
    task_sleep(*duration);
    note((char)('0' + *duration / 1000));
    return parking_now();
}
TASK_DEFINE(sleeper, uint64_t, uint64_t, sleep_for);

static int work_without_yield(char *sign)
{
    for (int i = 0; i < 3; i++) {
        note(*sign);
        machine_time += DISPATCHER_SLICE_NS;
        tick();
    }
    return 0;
}
TASK_DEFINE(worker, char, int, work_without_yield);

static struct task *parked;

static int park_once(int *timeout)
{
    parked = parking_self();
    enum status status = parking_park(parking_deadline((uint64_t)*timeout), NULL);
    parked = NULL;
    return status;
}
TASK_DEFINE(parker, int, int, park_once);

static void test_task_result_comes_back_typed(void **state)
{
    (void)state;
    OWNED(adder_task, task);
    assert_int_equal(adder_spawn(&(struct range){1, 10}, NULL, SLOT(task)), OK);
    uint64_t sum = 0;
    assert_int_equal(adder_join(SLOT(task), &sum), OK);
    assert_int_equal(sum, 55);
    assert_false(HELD(task));
}

static void test_tasks_take_turns_when_they_yield(void **state)
{
    (void)state;
    clear_trace();
    OWNED(noter_task, a);
    OWNED(noter_task, b);
    assert_int_equal(noter_spawn(&(char){'a'}, NULL, SLOT(a)), OK);
    assert_int_equal(noter_spawn(&(char){'b'}, NULL, SLOT(b)), OK);
    int result;
    assert_int_equal(noter_join(SLOT(b), &result), OK);
    assert_int_equal(result, 'b');
    assert_string_equal(trace, "ababab");
}

static void test_tasks_that_do_not_yield_are_preempted_at_the_end_of_their_slice(void **state)
{
    (void)state;
    clear_trace();
    OWNED(worker_task, a);
    OWNED(worker_task, b);
    assert_int_equal(worker_spawn(&(char){'a'}, NULL, SLOT(a)), OK);
    assert_int_equal(worker_spawn(&(char){'b'}, NULL, SLOT(b)), OK);
    int result;
    assert_int_equal(worker_join(SLOT(a), &result), OK);
    assert_int_equal(worker_join(SLOT(b), &result), OK);
    assert_string_equal(trace, "ababab");
}

static void test_task_that_holds_preemption_is_not_preempted(void **state)
{
    (void)state;
    clear_trace();
    OWNED(noter_task, a);
    assert_int_equal(noter_spawn(&(char){'a'}, NULL, SLOT(a)), OK);
    {
        GUARD(preemption, held, PREEMPTION);
        machine_time += DISPATCHER_SLICE_NS;
        tick();
        note('x');
    }
    note('y');
    int result;
    assert_int_equal(noter_join(SLOT(a), &result), OK);
    assert_string_equal(trace, "xayaa");
}

static void test_sleepers_wake_in_order_of_their_deadlines(void **state)
{
    (void)state;
    clear_trace();
    OWNED(sleeper_task, a);
    OWNED(sleeper_task, b);
    OWNED(sleeper_task, c);
    assert_int_equal(sleeper_spawn(&(uint64_t){3000}, NULL, SLOT(a)), OK);
    assert_int_equal(sleeper_spawn(&(uint64_t){1000}, NULL, SLOT(b)), OK);
    assert_int_equal(sleeper_spawn(&(uint64_t){2000}, NULL, SLOT(c)), OK);
    uint64_t start_time = machine_time;
    uint64_t end_time = 0;
    assert_int_equal(sleeper_join(SLOT(a), &end_time), OK);
    assert_string_equal(trace, "123");
    assert_true(end_time - start_time >= 3000);
}

static void test_park_ends_by_permit_or_by_deadline(void **state)
{
    (void)state;
    int result;
    OWNED(parker_task, late);
    assert_int_equal(parker_spawn(&(int){500}, NULL, SLOT(late)), OK);
    assert_int_equal(parker_join(SLOT(late), &result), OK);
    assert_int_equal(result, ERR_TIMEOUT);

    OWNED(parker_task, woken);
    assert_int_equal(parker_spawn(&(int){500}, NULL, SLOT(woken)), OK);
    task_yield();
    assert_non_null(parked);
    parking_unpark(parked);
    assert_int_equal(parker_join(SLOT(woken), &result), OK);
    assert_int_equal(result, OK);
}

static void test_permit_given_before_park_is_kept(void **state)
{
    (void)state;
    parking_unpark(parking_self());
    parking_unpark(parking_self());
    assert_int_equal(parking_park(PARK_FOREVER, NULL), OK);
    assert_int_equal(parking_park(parking_deadline(10), NULL),
                     ERR_TIMEOUT); /* one permit, not two */
}

static void test_hand_over_runs_the_other_at_once(void **state)
{
    (void)state;
    clear_trace();
    OWNED(parker_task, waiting);
    OWNED(noter_task, queued);
    assert_int_equal(parker_spawn(&(int){1000000}, NULL, SLOT(waiting)), OK);
    task_yield();
    assert_int_equal(noter_spawn(&(char){'q'}, NULL, SLOT(queued)), OK);
    struct task *self = parking_self();
    assert_int_equal(parking_hand_over(parked, parking_deadline(5000), NULL), ERR_TIMEOUT);
    assert_ptr_equal(parking_self(), self);
    assert_null(parked);
    int result;
    assert_int_equal(parker_join(SLOT(waiting), &result), OK);
    assert_int_equal(result, OK);
    assert_int_equal(noter_join(SLOT(queued), &result), OK);
}

static void test_wait_with_deadline_leaves_the_task_to_its_owner(void **state)
{
    (void)state;
    OWNED(sleeper_task, task);
    assert_int_equal(sleeper_spawn(&(uint64_t){9000}, NULL, SLOT(task)), OK);
    assert_int_equal(sleeper_wait(REF(task), parking_deadline(100)), ERR_TIMEOUT);
    uint64_t result;
    assert_int_equal(sleeper_join(SLOT(task), &result), OK);
}

static void test_dropped_handle_lets_the_task_end_alone(void **state)
{
    (void)state;
    clear_trace();
    {
        OWNED(noter_task, alone);
        assert_int_equal(noter_spawn(&(char){'z'}, NULL, SLOT(alone)), OK);
    }
    for (int i = 0; i < 5; i++) {
        task_yield();
    }
    assert_string_equal(trace, "zzz");
    assert_int_equal(task_statistics().tasks, 0);
}

static void test_spawn_refuses_bad_options(void **state)
{
    (void)state;
    OWNED(noter_task, task);
    assert_int_equal(
        noter_spawn(&(char){'a'}, &(struct task_options){.priority = TASK_PRIORITIES}, SLOT(task)),
        ERR_INVALID_ARGUMENT);
    assert_int_equal(
        noter_spawn(&(char){'a'}, &(struct task_options){.is_pinned = true, .cpu = 1}, SLOT(task)),
        ERR_INVALID_ARGUMENT);
    static const struct task_plan large = {"large", NULL, TASK_ARGUMENT_MAX + 1, 0, NULL};
    OWNED(task_handle, handle);
    assert_int_equal(task_spawn(&large, NULL, NULL, SLOT(handle)), ERR_LIMIT);
}

#define MANY           500
#define FIRST_QUEUES   64 /* what run queues have room for before they grow */
#define ADMISSIONS_MAX 1024

/* As many as there is room for at first; with the task that spawns them one too many. */
static void test_run_queues_have_room_for_whoever_spawns_too(void **state)
{
    (void)state;
    static struct adder_task *tasks[FIRST_QUEUES];
    for (size_t i = 0; i < FIRST_QUEUES; i++) {
        OWNED(adder_task, task);
        assert_int_equal(adder_spawn(&(struct range){i, i + 1}, NULL, SLOT(task)), OK);
        STORE(tasks[i], task);
    }
    task_yield(); /* all are ready now, this one too */
    for (size_t i = 0; i < FIRST_QUEUES; i++) {
        OWNED(adder_task, task);
        LOAD(task, tasks[i]);
        uint64_t sum = 0;
        assert_int_equal(adder_join(SLOT(task), &sum), OK);
        assert_int_equal(sum, 2 * i + 1);
    }
}

static void test_admission_that_fails_is_undone(void **state)
{
    (void)state;
    static uint64_t admissions[ADMISSIONS_MAX];
    size_t count = 0;
    enum status status;
    refuse_at = 1; /* the first request is that of a larger queue */
    while ((status = dispatcher_admit(&admissions[count])) == OK) {
        count++;
        assert_true(count < ADMISSIONS_MAX);
    }
    assert_int_equal(admissions[count], 0);
    assert_int_equal(status, ERR_NO_MEMORY);
    assert_int_equal(refuse_at, 0);
    assert_int_equal(dispatcher_admit(&admissions[count]), OK); /* there is memory again */
    for (count++; count > 0; count--) {
        dispatcher_dismiss(&admissions[count - 1]);
        assert_int_equal(admissions[count - 1], 0);
    }
}

static void test_spawn_fails_at_every_request_and_loses_nothing(void **state)
{
    (void)state;
    task_release_stacks();
    long blocks_before = blocks;
    long failures = 0;
    for (long request = 1;; request++) {
        OWNED(noter_task, task);
        refuse_at = request;
        enum status status = noter_spawn(&(char){'a'}, NULL, SLOT(task));
        bool was_refused = refuse_at == 0;
        refuse_at = 0;
        if (status == OK) {
            int result;
            clear_trace();
            assert_int_equal(noter_join(SLOT(task), &result), OK);
            assert_false(was_refused);
            break;
        }
        assert_int_equal(status, ERR_NO_MEMORY);
        assert_true(was_refused);
        assert_int_equal(blocks, blocks_before);
        failures++;
    }
    assert_true(failures >= 2); /* record and stack */
}

/* What is kept for the next tasks is given back when somebody else needs the memory. */
static void test_kept_stacks_are_given_back_for_a_larger_one(void **state)
{
    (void)state;
    task_release_stacks();
    long before = stacks_alive;
    int result;
    for (int i = 0; i < 2; i++) {
        OWNED(noter_task, first);
        OWNED(noter_task, second);
        clear_trace();
        assert_int_equal(noter_spawn(&(char){'a'}, NULL, SLOT(first)), OK);
        assert_int_equal(noter_spawn(&(char){'b'}, NULL, SLOT(second)), OK);
        assert_int_equal(noter_join(SLOT(first), &result), OK);
        assert_int_equal(noter_join(SLOT(second), &result), OK);
    }
    assert_int_equal(task_statistics().stacks, 2);
    const struct task_options large = {.stack_bytes = 2 * TASK_STACK_SIZE};
    OWNED(noter_task, task);
    refuse_at = 2; /* after the record */
    clear_trace();
    assert_int_equal(noter_spawn(&(char){'c'}, &large, SLOT(task)), OK);
    assert_int_equal(refuse_at, 0);
    assert_int_equal(task_statistics().stacks, 0);
    assert_int_equal(stacks_alive, before + 1);
    assert_int_equal(noter_join(SLOT(task), &result), OK);
    task_release_stacks();
    refuse_at = 2;
    assert_int_equal(noter_spawn(&(char){'d'}, &large, SLOT(task)),
                     ERR_NO_MEMORY); /* nothing kept */
    refuse_at = 0;
}

static void test_many_tasks_leave_nothing(void **state)
{
    (void)state;
    task_release_stacks();
    long stacks_before = stacks_alive;
    static struct adder_task *tasks[MANY];
    long blocks_before = blocks;
    for (size_t i = 0; i < MANY; i++) {
        OWNED(adder_task, task);
        assert_int_equal(adder_spawn(&(struct range){i, i + 2}, NULL, SLOT(task)), OK);
        STORE(tasks[i], task);
    }
    assert_int_equal(task_statistics().tasks, MANY);
    struct task_information information = {0};
    assert_true(task_next(0, &information));
    assert_string_equal(information.name, "test"); /* the first of all */
    size_t seen = 0;
    while (task_next(information.id, &information)) {
        assert_string_equal(information.name, "adder");
        seen++;
    }
    assert_int_equal(seen, MANY);
    for (size_t i = 0; i < MANY; i++) {
        OWNED(adder_task, task);
        LOAD(task, tasks[i]);
        uint64_t sum = 0;
        assert_int_equal(adder_join(SLOT(task), &sum), OK);
        assert_int_equal(sum, 3 * i + 3);
    }
    assert_int_equal(task_statistics().tasks, 0);
    task_release_stacks();
    assert_int_equal(blocks, blocks_before);
    assert_int_equal(stacks_alive, stacks_before);
}

static void test_large_stacks_are_released_as_others_come(void **state)
{
    (void)state;
    task_release_stacks();
    long stacks_before = stacks_alive;
    struct task_options large = {.stack_bytes = 2 * TASK_STACK_SIZE};
    for (int i = 0; i < 20; i++) {
        OWNED(adder_task, task);
        assert_int_equal(adder_spawn(&(struct range){1, 1}, &large, SLOT(task)), OK);
        uint64_t sum = 0;
        assert_int_equal(adder_join(SLOT(task), &sum), OK);
        assert_true(stacks_alive <= stacks_before + 2);
    }
    task_release_stacks();
    assert_int_equal(stacks_alive, stacks_before);
}

/* ---- kills ---- */

static int entries;  /* victims that began */
static int releases; /* of what victims own */
static int passed;   /* victims that came where they must not come */
static bool may_end;
static struct mutex shared_mutex; /* with a victim */

struct OWN_CAPABILITY("thing") thing;
OWN_DECLARE_LOCAL(thing);

static NOINLINE void thing_drop(struct thing **handle)
{
    if (*handle) {
        releases++;
        EMPTY(handle);
    }
}

/* Its drop waits; it may be begun again. */
struct OWN_CAPABILITY("slow thing") slow;
OWN_DECLARE_LOCAL(slow);

static NOINLINE void slow_drop(struct slow **handle)
{
    if (*handle) {
        note('(');
        task_sleep(1000);
        releases++;
        note(')');
        EMPTY(handle);
    }
}

static void victim_yields(void)
{
    while (!may_end) {
        task_yield();
    }
}

static void victim_is_preempted(void)
{
    while (!may_end) {
        machine_time += DISPATCHER_SLICE_NS;
        tick();
    }
}

static void victim_sleeps(void)
{
    task_sleep(1000000000);
}

static void victim_parks(void)
{
    while (!may_end) {
        (void)!parking_park(PARK_FOREVER, NULL);
    }
}

static void victim_wants_mutex(void)
{
    GUARD(mutex, held, &shared_mutex);
}

static void victim_joins(void)
{
    OWNED(sleeper_task, other);
    assert_int_equal(sleeper_spawn(&(uint64_t){5000}, NULL, SLOT(other)), OK);
    uint64_t result;
    (void)!sleeper_join(SLOT(other), &result);
}

static void victim_hands_over(void)
{
    while (!may_end) {
        (void)!parking_hand_over(parked, PARK_FOREVER, NULL);
    }
}

static void yield_below(void *unused)
{
    (void)unused;
    victim_yields();
}

static void victim_is_prepared(void)
{
    (void)!catch_unwind(yield_below, NULL, NULL);
    passed++;
}

static void kill_self(void)
{
    OWNED(task_handle, self);
    assert_int_equal(task_lookup(task_own_id(), SLOT(self)), OK);
    assert_int_equal(task_id(REF(self)), task_own_id());
    task_kill(REF(self));
}

static void victim_kills_itself(void)
{
    kill_self();
    passed++;
}

static void victim_kills_itself_while_it_holds_preemption(void)
{
    GUARD(preemption, held, PREEMPTION);
    kill_self();
    releases++;
    preemption_drop(SLOT(held));
    passed++;
}

static void victim_kills_itself_without_interrupts(void)
{
    GUARD(interrupt_mask, masked, INTERRUPTS);
    kill_self();
    releases++;
    interrupt_mask_drop(SLOT(masked));
    passed++;
}

static const struct kill_deferral outer_deferral = {.what = "outer"};
static const struct kill_deferral inner_deferral = {.what = "inner"};

static void victim_defers(void)
{
    GUARD(kill_deferral, outer, &outer_deferral);
    {
        GUARD(kill_deferral, inner, &inner_deferral);
        while (!may_end) {
            task_sleep(100);
        }
        releases++;
    }
    releases++;
    kill_deferral_drop(SLOT(outer));
    passed++;
}

static void victim_owns_slow(void)
{
    OWNED(slow, slow);
    FILL(SLOT(slow), (struct slow *)&releases);
    victim_yields();
}

typedef void (*victim_function_t)(void);

struct OWN_CAPABILITY("duty") duty {
    victim_function_t function;
};
OWN_DECLARE_LOCAL(duty);

static NOINLINE void duty_drop(struct duty **handle)
{
    if (*handle) {
        releases++;
        EMPTY(handle);
    }
}

static int be_victim(struct duty *duty)
{
    OWNED(thing, thing);
    FILL(SLOT(thing), (struct thing *)&entries);
    entries++;
    duty->function();
    return 7;
}
TASK_DEFINE_OWNING(victim, struct duty, int, be_victim, duty_drop);

/* What the spawner had is the task's then. */
static void spawn_victim(victim_function_t function, struct victim_task **out) OWN_UNCHECKED
{
    OWNED_HERE(duty, duty);
    REF(duty)->function = function;
    assert_int_equal(victim_spawn(SLOT(duty), NULL, out), OK);
    assert_false(HELD(duty));
}

static void begin_kills(void)
{
    entries = 0;
    releases = 0;
    passed = 0;
    may_end = false;
    clear_trace();
}

/* Killed after so many turns; twice, which is the same as once. */
static enum status kill_victim(victim_function_t function, int turns)
{
    OWNED(victim_task, task);
    begin_kills();
    spawn_victim(function, SLOT(task));
    for (int i = 0; i < turns; i++) {
        task_yield();
    }
    victim_kill(REF(task));
    victim_kill(REF(task));
    int result = 0;
    return victim_join(SLOT(task), &result);
}

static void test_kill_strikes_in_every_state(void **state)
{
    (void)state;
    static const struct {
        victim_function_t function;
        int turns;
        int releases; /* thing and argument are always released */
    } table[] = {
        {victim_yields, 1, 2},
        {victim_yields, 2, 2},
        {victim_is_preempted, 1, 2},
        {victim_sleeps, 1, 2},
        {victim_parks, 1, 2},
        {victim_wants_mutex, 1, 2},
        {victim_joins, 1, 2},
        {victim_is_prepared, 1, 2},
        {victim_kills_itself, 1, 2},
        {victim_kills_itself_while_it_holds_preemption, 1, 3},
        {victim_kills_itself_without_interrupts, 1, 3},
        {victim_owns_slow, 1, 3},
    };
    task_release_stacks();
    long blocks_before = blocks;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        GUARD(mutex, held, &shared_mutex);
        assert_int_equal(kill_victim(table[i].function, table[i].turns), ERR_KILLED);
        assert_int_equal(entries, 1);
        assert_int_equal(releases, table[i].releases);
        assert_int_equal(passed, 0);
    }
    assert_false(mutex_is_held(&shared_mutex));
    while (task_statistics().tasks) {
        task_sleep(10000);
    }
    task_release_stacks();
    assert_int_equal(blocks, blocks_before);
}

static void test_kill_before_it_begins_releases_the_argument_only(void **state)
{
    (void)state;
    assert_int_equal(kill_victim(victim_yields, 0), ERR_KILLED);
    assert_int_equal(entries, 0);
    assert_int_equal(releases, 1);
}

static void test_kill_of_one_that_hands_over(void **state)
{
    (void)state;
    OWNED(parker_task, partner);
    assert_int_equal(parker_spawn(&(int){1000000}, NULL, SLOT(partner)), OK);
    task_yield();
    assert_non_null(parked);
    struct task *kept = NULL;
    parking_get(parked, &kept);
    assert_int_equal(kill_victim(victim_hands_over, 1), ERR_KILLED);
    assert_int_equal(releases, 2);
    parking_put(&kept);
    int result;
    assert_int_equal(parker_join(SLOT(partner), &result), OK);
    assert_int_equal(result, OK);
}

static void test_kill_after_the_end_changes_nothing(void **state)
{
    (void)state;
    OWNED(noter_task, task);
    clear_trace();
    assert_int_equal(noter_spawn(&(char){'e'}, NULL, SLOT(task)), OK);
    assert_int_equal(noter_wait(REF(task), PARK_FOREVER), OK);
    noter_kill(REF(task));
    int result = 0;
    assert_int_equal(noter_join(SLOT(task), &result), OK);
    assert_int_equal(result, 'e');
}

static void test_kill_waits_for_guards_and_says_for_whom(void **state)
{
    (void)state;
    victim_function_t function = victim_defers;
    begin_kills();
    OWNED(victim_task, task);
    spawn_victim(function, SLOT(task));
    task_yield();
    struct task_handle *handle = (struct task_handle *)REF(task);
    struct task_kill_report report = {0};
    assert_int_equal(task_kill_wait(handle, 5000, &report), ERR_TIMEOUT);
    assert_string_equal(report.kept_by, "inner");
    assert_string_equal(report.task.name, "victim");
    assert_true(report.wanted_ns >= 5000);
    assert_int_equal(report.frame_count, 1);
    assert_string_equal(report.owned, "s");
    task_kill_report_log(&report);
    assert_int_equal(releases, 0);
    may_end = true;
    assert_int_equal(task_kill_wait(handle, 0, NULL), OK);
    assert_int_equal(releases, 4);
    assert_int_equal(passed, 0);
    int result;
    assert_int_equal(victim_join(SLOT(task), &result), ERR_KILLED);
}

/* It takes its time, in which it is killed once more. */
static void test_kill_within_the_release_of_a_kill(void **state)
{
    (void)state;
    victim_function_t function = victim_owns_slow;
    begin_kills();
    OWNED(victim_task, task);
    spawn_victim(function, SLOT(task));
    task_yield();
    victim_kill(REF(task));
    task_yield();
    assert_string_equal(trace, "(");
    struct task_kill_report report = {0};
    assert_int_equal(task_kill_wait((struct task_handle *)REF(task), 10, &report), ERR_TIMEOUT);
    assert_string_equal(report.kept_by, "the release of what it owns");
    assert_string_equal(report.task.waits_for, "sleep");
    int result;
    assert_int_equal(victim_join(SLOT(task), &result), ERR_KILLED);
    assert_string_equal(trace, "()");
    assert_int_equal(releases, 3);
}

static void test_lookup_finds_what_can_be_killed(void **state)
{
    (void)state;
    OWNED(task_handle, handle);
    OWNED(noter_task, task);
    struct task_information information = {0};
    assert_true(task_next(0, &information));
    assert_int_equal(task_lookup(information.id, SLOT(handle)), ERR_PERMISSION);
    assert_int_equal(task_own_id(), information.id);
    assert_int_equal(task_lookup(UINT64_MAX, SLOT(handle)), ERR_NOT_FOUND);
    assert_int_equal(task_lookup(0, SLOT(handle)), ERR_NOT_FOUND);
    clear_trace();
    assert_int_equal(noter_spawn(&(char){'l'}, NULL, SLOT(task)), OK);
    uint64_t id = task_id((struct task_handle *)REF(task));
    assert_int_equal(task_lookup(id, SLOT(handle)), OK);
    task_handle_drop(SLOT(handle));
    int result;
    assert_int_equal(noter_join(SLOT(task), &result), OK);
    assert_int_equal(task_statistics().tasks, 0); /* now it is gone */
    assert_int_equal(task_lookup(id, SLOT(handle)), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_task_result_comes_back_typed),
        cmocka_unit_test(test_tasks_take_turns_when_they_yield),
        cmocka_unit_test(test_tasks_that_do_not_yield_are_preempted_at_the_end_of_their_slice),
        cmocka_unit_test(test_task_that_holds_preemption_is_not_preempted),
        cmocka_unit_test(test_sleepers_wake_in_order_of_their_deadlines),
        cmocka_unit_test(test_park_ends_by_permit_or_by_deadline),
        cmocka_unit_test(test_permit_given_before_park_is_kept),
        cmocka_unit_test(test_hand_over_runs_the_other_at_once),
        cmocka_unit_test(test_wait_with_deadline_leaves_the_task_to_its_owner),
        cmocka_unit_test(test_dropped_handle_lets_the_task_end_alone),
        cmocka_unit_test(test_spawn_refuses_bad_options),
        cmocka_unit_test(test_spawn_fails_at_every_request_and_loses_nothing),
        cmocka_unit_test(test_run_queues_have_room_for_whoever_spawns_too),
        cmocka_unit_test(test_admission_that_fails_is_undone),
        cmocka_unit_test(test_kept_stacks_are_given_back_for_a_larger_one),
        cmocka_unit_test(test_many_tasks_leave_nothing),
        cmocka_unit_test(test_large_stacks_are_released_as_others_come),
        cmocka_unit_test(test_kill_strikes_in_every_state),
        cmocka_unit_test(test_kill_before_it_begins_releases_the_argument_only),
        cmocka_unit_test(test_kill_of_one_that_hands_over),
        cmocka_unit_test(test_kill_after_the_end_changes_nothing),
        cmocka_unit_test(test_kill_waits_for_guards_and_says_for_whom),
        cmocka_unit_test(test_kill_within_the_release_of_a_kill),
        cmocka_unit_test(test_lookup_finds_what_can_be_killed),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
