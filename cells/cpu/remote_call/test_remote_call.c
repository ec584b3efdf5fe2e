/* SPDX-License-Identifier: MIT */
/*
 * Threads play CPUs. Interrupts do not arrive: a CPU that is to answer looks for calls in a loop.
 * Time is counted by looks at the clock, so limits pass at once where a test wants that.
 */
#include "remote_call.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "clock.h"
#include "cpu_local.h"
#include "exceptions.h"
#include "interrupts.h"
#include "ipi.h"
#include "local_apic.h"
#include "preemption.h"
#include "x86.h"

#define CPUS   4u
#define ROUNDS 200u

/* ---- the machine ---- */

uint64_t clock_multiplier = 1ull << CLOCK_SHIFT; /* a tick is a nanosecond */
uint64_t clock_inverse = 1ull << CLOCK_INVERSE_SHIFT;
static uint64_t ticks;
static uint64_t tick = 1;   /* how far a look moves the time */
static uint32_t gate;       /* but not before so many calls have been run */
static uint32_t runs[CPUS]; /* on each CPU */
static uint32_t sends;
static uint32_t refused_sends; /* so many fail first */
static unsigned registered;    /* handles that are alive */
static unsigned fail_at;       /* which registration fails, from 1 on; 0: none */
static unsigned registrations;
static void (*stop_hook)(void);

uint64_t simulated_tsc(void)
{
    uint32_t sum = 0;
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        sum += __atomic_load_n(&runs[cpu], __ATOMIC_RELAXED);
    }
    return __atomic_add_fetch(&ticks, sum < gate ? 0 : tick, __ATOMIC_RELAXED);
}

/* There are fewer real CPUs. */
void simulated_relax(void)
{
    sched_yield();
}

enum status ipi_send(uint32_t id, uint8_t vector)
{
    assert_in_range(id, 100, 100 + CPU_LIMIT - 1);
    assert_true(vector == REMOTE_CALL_VECTOR || vector == REMOTE_SWITCH_VECTOR);
    if (__atomic_load_n(&refused_sends, __ATOMIC_RELAXED) > 0) {
        __atomic_sub_fetch(&refused_sends, 1, __ATOMIC_RELAXED);
        return ERR_TIMEOUT;
    }
    __atomic_add_fetch(&sends, 1, __ATOMIC_RELAXED);
    return OK;
}

enum status ipi_send_nmi(uint32_t id)
{
    (void)id;
    return OK;
}

uint32_t local_apic_id(void)
{
    return 100 + CPU_LOCAL(index);
}

static int thing; /* what handles point to */

static enum status register_thing(void **out)
{
    registrations++;
    if (registrations == fail_at) {
        return ERR_BUSY;
    }
    registered++;
    *out = &thing;
    return OK;
}

enum status interrupt_register(unsigned vector, const char *name, interrupt_function_t function,
                               void *context, struct interrupt **out)
{
    (void)vector;
    (void)name;
    (void)function;
    (void)context;
    return register_thing((void **)out);
}

enum status exception_handler_register(unsigned vector, const char *name,
                                       exception_function_t function, void *context,
                                       struct exception_handler **out)
{
    (void)name;
    (void)function;
    (void)context;
    assert_int_equal(vector, EXCEPTION_NMI);
    return register_thing((void **)out);
}

void interrupt_drop(struct interrupt **handle)
{
    registered -= *handle != NULL;
    *handle = NULL;
}

void exception_handler_drop(struct exception_handler **handle)
{
    registered -= *handle != NULL;
    *handle = NULL;
}

void exceptions_set_stop_others(void (*stop)(void))
{
    stop_hook = stop;
}

uint64_t read_cr3(void)
{
    return 0;
}

void write_cr3(uint64_t value)
{
    (void)value;
}

struct x86_cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    (void)leaf;
    (void)subleaf;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return (struct x86_cpuid){0};
}

/* ---- CPUs ---- */

static pthread_t threads[CPUS];
static void (*works[CPUS])(void); /* what a CPU does; NULL: it serves */
static uint32_t is_deaf[CPUS];    /* does not serve */
static uint32_t halted;

static void *be_cpu(void *argument)
{
    unsigned index = (unsigned)(uintptr_t)argument;
    CPU_LOCAL(index) = index;
    disable_interrupts();
    remote_call_enter();
    while (!__atomic_load_n(&halted, __ATOMIC_ACQUIRE)) {
        void (*work)(void) = __atomic_load_n(&works[index], __ATOMIC_ACQUIRE);
        if (work) {
            work();
            __atomic_store_n(&works[index], NULL, __ATOMIC_RELEASE);
        }
        if (!__atomic_load_n(&is_deaf[index], __ATOMIC_ACQUIRE)) {
            remote_call_serve();
        }
        cpu_relax();
    }
    return NULL;
}

static int start_cpus(void **state)
{
    (void)state;
    remote_call_enter(); /* this thread is CPU 0 */
    for (unsigned i = 1; i < CPUS; i++) {
        if (pthread_create(&threads[i], NULL, be_cpu, (void *)(uintptr_t)i)) {
            return 1;
        }
    }
    while (remote_call_cpus() != (1u << CPUS) - 1) {
        cpu_relax();
    }
    return 0;
}

static int stop_cpus(void **state)
{
    (void)state;
    __atomic_store_n(&halted, 1, __ATOMIC_RELEASE);
    for (unsigned i = 1; i < CPUS; i++) {
        pthread_join(threads[i], NULL);
    }
    return 0;
}

static void let_all_work(void (*work)(void))
{
    for (unsigned i = 1; i < CPUS; i++) {
        __atomic_store_n(&works[i], work, __ATOMIC_RELEASE);
    }
    work();
    for (unsigned i = 1; i < CPUS; i++) {
        while (__atomic_load_n(&works[i], __ATOMIC_ACQUIRE)) {
            remote_call_serve();
            cpu_relax();
        }
    }
}

static void set_deaf(unsigned cpu, bool deaf)
{
    __atomic_store_n(&is_deaf[cpu], deaf, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < 1000; i++) {
        cpu_relax(); /* it may be serving still: nothing is asked of it */
    }
}

/* ---- calls ---- */

static void note_run(void *argument)
{
    __atomic_add_fetch(&runs[CPU_LOCAL(index)], *(uint32_t *)argument, __ATOMIC_RELAXED);
}

static uint32_t one = 1;

static int clear(void **state)
{
    (void)state;
    memset(runs, 0, sizeof(runs));
    tick = 1;
    gate = 0;
    sends = 0;
    return 0;
}

static void test_call_runs_on_that_cpu(void **state)
{
    (void)state;
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        assert_int_equal(remote_call(cpu, note_run, &one), OK);
        assert_int_equal(runs[cpu], 1);
    }
    assert_int_equal(sends, CPUS - 1); /* not to itself */
    assert_true(interrupts_enabled());
}

static void test_call_others_runs_on_all_but_this(void **state)
{
    (void)state;
    assert_int_equal(remote_call_others(note_run, &one), OK);
    assert_int_equal(runs[0], 0);
    for (unsigned cpu = 1; cpu < CPUS; cpu++) {
        assert_int_equal(runs[cpu], 1);
    }
}

static void test_call_of_an_absent_cpu_is_refused(void **state)
{
    (void)state;
    assert_int_equal(remote_call(CPUS, note_run, &one), ERR_NO_DEVICE);
    assert_int_equal(remote_call(CPU_LIMIT, note_run, &one), ERR_NO_DEVICE);
    assert_int_equal(remote_call(UINT32_MAX, note_run, &one), ERR_NO_DEVICE);
    remote_call_switch(CPUS);
    assert_int_equal(sends, 0);
    remote_call_switch(1);
    assert_int_equal(sends, 1);
}

static void test_call_is_sent_again_while_the_controller_is_busy(void **state)
{
    (void)state;
    refused_sends = 5;
    assert_int_equal(remote_call_others(note_run, &one), OK);
    assert_int_equal(runs[1] + runs[2] + runs[3], 3);
    refused_sends = 0;
}

static void call_each_other(void)
{
    uint32_t self = CPU_LOCAL(index);
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (remote_call((self + 1 + i % (CPUS - 1)) % CPUS, note_run, &one) != OK) {
            __atomic_add_fetch(&runs[self], 1000000, __ATOMIC_RELAXED);
        }
    }
}

static void test_call_of_all_by_all_with_interrupts_disabled_ends(void **state)
{
    (void)state;
    let_all_work(call_each_other);
    assert_int_equal(runs[0] + runs[1] + runs[2] + runs[3], CPUS * ROUNDS);
}

static void test_call_that_is_not_answered_is_given_up_for_good(void **state)
{
    (void)state;
    set_deaf(2, true);
    tick = REMOTE_CALL_LIMIT_NS / 1000;
    assert_int_equal(remote_call(2, note_run, &one), ERR_TIMEOUT);
    gate = 2;
    assert_int_equal(remote_call_others(note_run, &one), ERR_TIMEOUT);
    tick = 1;
    set_deaf(2, false);
    assert_int_equal(remote_call(2, note_run, &(uint32_t){100}), OK);
    assert_int_equal(runs[2], 100); /* none of the two before */
    assert_int_equal(runs[1], 1);
    assert_int_equal(runs[3], 1);
}

static void run_for_long(void *argument)
{
    note_run(argument);
    uint64_t start = clock_now_ns();
    while (clock_now_ns() - start < 3 * REMOTE_CALL_LIMIT_NS) {
        cpu_relax();
    }
}

static void test_call_that_has_begun_is_waited_for(void **state)
{
    (void)state;
    tick = REMOTE_CALL_LIMIT_NS / 1000;
    gate = 1;
    assert_int_equal(remote_call(1, run_for_long, &one), OK);
    assert_int_equal(runs[1], 1);
}

/* ---- stops ---- */

static uint64_t sum;
static uint32_t failures;

static void stop_all(void)
{
    for (unsigned i = 0; i < ROUNDS / 10; i++) {
        OWNED(remote_stop, stop);
        if (remote_stop_begin(SLOT(stop)) != OK) {
            __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
            continue;
        }
        volatile uint64_t *alone = &sum;
        uint64_t value = *alone;
        cpu_relax();
        *alone = value + 1;
    }
}

static void test_stop_is_held_by_one_at_a_time(void **state)
{
    (void)state;
    sum = 0;
    let_all_work(stop_all);
    assert_int_equal(failures, 0);
    assert_int_equal(sum, CPUS * (ROUNDS / 10));
    assert_true(interrupts_enabled());
}

static void test_stop_twice_by_one_cpu_is_refused(void **state)
{
    (void)state;
    OWNED(remote_stop, stop);
    OWNED(remote_stop, second);
    assert_int_equal(remote_stop_begin(SLOT(stop)), OK);
    assert_false(interrupts_enabled());
    assert_int_equal(remote_stop_begin(SLOT(second)), ERR_STATE);
    remote_stop_drop(SLOT(stop));
    assert_true(interrupts_enabled());
}

static void test_stop_that_one_does_not_answer_lets_all_go_on(void **state)
{
    (void)state;
    set_deaf(3, true);
    tick = REMOTE_CALL_LIMIT_NS / 1000;
    OWNED(remote_stop, stop);
    assert_int_equal(remote_stop_begin(SLOT(stop)), ERR_TIMEOUT);
    tick = 1;
    assert_false(HELD(stop));
    assert_true(interrupts_enabled());
    set_deaf(3, false);
    assert_int_equal(remote_call_others(note_run, &one), OK);
    assert_int_equal(runs[1] + runs[2] + runs[3], 3);
    assert_int_equal(remote_stop_begin(SLOT(stop)), OK);
}

/* A fault while all others are stopped: popping the chain lets them go on. */
static void test_stop_ends_when_its_slot_is_unwound(void **state)
{
    (void)state;
    struct own_slot *top = OWN_TOP;
    struct remote_stop_slot stop; /* without the cleanup of a scope that ends well */
    own_enter(&stop.slot, (own_drop_t)remote_stop_drop);
    assert_int_equal(remote_stop_begin(SLOT(stop)), OK);
    assert_int_equal(own_unwind(top, 0, UINTPTR_MAX), 1);
    assert_int_equal(remote_call_others(note_run, &one), OK);
    assert_int_equal(runs[1] + runs[2] + runs[3], 3);
}

/* ---- the beginning ---- */

static void test_init_that_fails_leaves_nothing(void **state)
{
    (void)state;
    for (fail_at = 1; fail_at <= 3; fail_at++) {
        registrations = 0;
        assert_int_equal(remote_call_init(), ERR_BUSY);
        assert_int_equal(registered, 0);
        assert_null(stop_hook);
    }
    fail_at = 0;
    assert_int_equal(remote_call_init(), OK);
    assert_int_equal(registered, 3);
    assert_non_null(stop_hook);
    assert_int_equal(remote_call_init(), ERR_STATE);
    assert_int_equal(registered, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_init_that_fails_leaves_nothing, clear),
        cmocka_unit_test_setup(test_call_runs_on_that_cpu, clear),
        cmocka_unit_test_setup(test_call_others_runs_on_all_but_this, clear),
        cmocka_unit_test_setup(test_call_of_an_absent_cpu_is_refused, clear),
        cmocka_unit_test_setup(test_call_is_sent_again_while_the_controller_is_busy, clear),
        cmocka_unit_test_setup(test_call_of_all_by_all_with_interrupts_disabled_ends, clear),
        cmocka_unit_test_setup(test_call_that_is_not_answered_is_given_up_for_good, clear),
        cmocka_unit_test_setup(test_call_that_has_begun_is_waited_for, clear),
        cmocka_unit_test_setup(test_stop_is_held_by_one_at_a_time, clear),
        cmocka_unit_test_setup(test_stop_twice_by_one_cpu_is_refused, clear),
        cmocka_unit_test_setup(test_stop_that_one_does_not_answer_lets_all_go_on, clear),
        cmocka_unit_test_setup(test_stop_ends_when_its_slot_is_unwound, clear),
    };
    return cmocka_run_group_tests(tests, start_cpus, stop_cpus);
}
