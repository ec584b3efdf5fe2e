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

#include "exceptions.h"
#include "heap.h"
#include "interrupt_catch.h"
#include "owned.h"
#include "task.h"

/* ---- memory that can run out ---- */

struct stack {
    void *memory;
    size_t bytes;
};

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
    *stack = (struct stack){aligned_alloc(16, bytes * 4), bytes * 4}; /* ASan needs more */
    stacks_alive++;
    FILL(out, stack);
    return OK;
}

void stack_drop(struct stack **handle)
{
    if (*handle) {
        stacks_alive--;
        free((*handle)->memory);
        free(*handle);
        *handle = NULL;
    }
}

vaddr_t stack_bottom(const struct stack *stack)
{
    return (vaddr_t)stack->memory + stack->bytes - stack->bytes / 4;
}

/* Asked for before the stack is used again: what ASan knows of frames that never returned is void. */
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

bool owned_is_intact_drop(uintptr_t drop)
{
    return drop != 0;
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
    (void)address;
    (void)out;
    return false;
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
    static const struct task_plan large = {"large", NULL, TASK_ARGUMENT_MAX + 1, 0};
    OWNED(task_handle, handle);
    assert_int_equal(task_spawn(&large, NULL, NULL, SLOT(handle)), ERR_LIMIT);
}

#define MANY         500
#define FIRST_QUEUES 64 /* what run queues have room for before they grow */

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
    size_t count = 0;
    enum status status;
    refuse_at = 1; /* the first request is that of a larger queue */
    while ((status = dispatcher_admit()) == OK) {
        count++;
    }
    assert_int_equal(status, ERR_NO_MEMORY);
    assert_int_equal(refuse_at, 0);
    assert_int_equal(dispatcher_admit(), OK); /* there is memory again */
    for (count++; count > 0; count--) {
        dispatcher_dismiss();
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
        cmocka_unit_test(test_many_tasks_leave_nothing),
        cmocka_unit_test(test_large_stacks_are_released_as_others_come),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
