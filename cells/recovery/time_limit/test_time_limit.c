/* SPDX-License-Identifier: MIT */
/*
 * Time, the timer and the way of a fault are made up here; that a real loop ends is seen in the
 * boot tests of the swap.
 */
#include "time_limit.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "apic_timer.h"
#include "catch.h"
#include "clock.h"
#include "cpu_local.h"
#include "interrupts.h"
#include "local_apic.h"
#include "x86.h"

#define LIMIT_NS   1000000u
#define OLD_VECTOR 0x77u
#define OLD_LEVEL  0x10u

uint64_t clock_multiplier;
uint64_t clock_inverse;
volatile uint32_t *local_apic_registers;
struct apic_timer_scale apic_timer_scale;

static uint64_t now_ns;
static uint64_t deadline;
static uint32_t lvt;
static uint32_t priority;
static bool has_apic;
static enum status register_status;
static enum status timer_status;
static interrupt_function_t handler;
static void *handler_context;
static unsigned calls_without_limit;

uint64_t simulated_tsc(void)
{
    return now_ns;
}

void write_msr(uint32_t msr, uint64_t value)
{
    assert_int_equal(msr, MSR_TSC_DEADLINE);
    deadline = value ? value - 1 : 0; /* ticks are rounded up */
}

uint32_t local_apic_read(enum local_apic_register which)
{
    return which == LOCAL_APIC_LVT_TIMER ? lvt : priority;
}

void local_apic_write(enum local_apic_register which, uint32_t value)
{
    *(which == LOCAL_APIC_LVT_TIMER ? &lvt : &priority) = value;
}

struct local_apic_description local_apic_describe(void)
{
    return (struct local_apic_description){.version = has_apic ? 0x14 : 0};
}

enum status apic_timer_init_cpu(uint8_t vector)
{
    lvt = vector;
    deadline = 0;
    return timer_status;
}

void apic_timer_stop(void)
{
    deadline = 0;
}

OWN_UNCHECKED enum status interrupt_register(unsigned vector, const char *name,
                                             interrupt_function_t function, void *context,
                                             struct interrupt **out)
{
    assert_int_equal(vector, TIME_LIMIT_VECTOR);
    assert_non_null(name);
    if (register_status != OK) {
        return register_status;
    }
    handler = function;
    handler_context = context;
    FILL(out, (struct interrupt *)&handler);
    return OK;
}

void interrupt_drop(struct interrupt **handle)
{
    EMPTY(handle);
}

/* ---- the way of a fault ---- */

static sigjmp_buf point;

static void on_signal(int signal)
{
    (void)signal;
    siglongjmp(point, 1);
}

enum status catch_watched(void (*function)(void *argument), void *argument, catch_witness_t witness,
                          struct catch_reason *out_reason)
{
    assert_null(out_reason);
    signal(SIGILL, on_signal);
    if (sigsetjmp(point, 1)) {
        host_interrupts = false; /* as at the point */
        witness(NULL);
        return ERR_FAULT;
    }
    function(argument);
    return OK;
}

enum status catch_unwind(void (*function)(void *argument), void *argument,
                         struct catch_reason *out_reason)
{
    (void)out_reason;
    calls_without_limit++;
    function(argument);
    return OK;
}

static void old_reschedule(void)
{
}

/* As the timer does when its time has come: the handler, then a reschedule if it asked for one. */
static void interrupt_after(uint64_t ns)
{
    now_ns += ns;
    deadline = 0;
    handler(handler_context);
    if (CPU_LOCAL(hold) == 0) {
        CPU_LOCAL(reschedule)();
    }
}

static int start(void **state)
{
    (void)state;
    clock_multiplier = 1ull << CLOCK_SHIFT;
    clock_inverse = 1ull << CLOCK_INVERSE_SHIFT;
    apic_timer_scale.is_deadline = true;
    now_ns = 5000;
    deadline = 7777;
    lvt = OLD_VECTOR;
    priority = OLD_LEVEL;
    has_apic = true;
    register_status = OK;
    timer_status = OK;
    calls_without_limit = 0;
    host_interrupts = false;
    CPU_LOCAL(hold) = HOLD_UNWANTED;
    CPU_LOCAL(reschedule) = old_reschedule;
    return 0;
}

/* ---- functions ---- */

static void return_early(void *argument)
{
    assert_true(interrupts_enabled());
    assert_int_equal(priority & 0xf0, 0xe0);
    assert_int_equal(lvt, TIME_LIMIT_VECTOR);
    assert_int_equal(deadline, now_ns + LIMIT_NS);
    *(unsigned *)argument += 1;
}

static void come_early_then_return(void *argument)
{
    interrupt_after(LIMIT_NS / 4);
    assert_int_equal(deadline, now_ns + LIMIT_NS - LIMIT_NS / 4);
    *(unsigned *)argument += 1;
}

static void take_too_long(void *argument)
{
    interrupt_after(LIMIT_NS);
    *(unsigned *)argument += 1;
}

/* The reschedule does not come the first time: within a sequence, say. */
static void be_spared_once(void *argument)
{
    CPU_LOCAL(hold)++;
    interrupt_after(LIMIT_NS);
    CPU_LOCAL(hold)--;
    assert_true(deadline > now_ns);
    *(unsigned *)argument += 1;
    interrupt_after(deadline - now_ns);
    *(unsigned *)argument += 1;
}

static void fault(void *argument)
{
    *(unsigned *)argument += 1;
    siglongjmp(point, 1);
}

static enum status call(void (*function)(void *argument), unsigned *count)
{
    OWNED(time_limit, limit);
    assert_int_equal(time_limit_begin(SLOT(limit)), OK);
    assert_false(interrupts_enabled());
    enum status status = time_limit_call(REF(limit), function, count, LIMIT_NS);
    assert_false(interrupts_enabled());
    if (handler) {
        interrupt_after(2 * LIMIT_NS); /* one that is late strikes nobody */
    }
    return status;
}

static void assert_given_back(void)
{
    assert_int_equal(lvt, OLD_VECTOR);
    assert_int_equal(priority, OLD_LEVEL);
    assert_ptr_equal(CPU_LOCAL(reschedule), old_reschedule);
    assert_int_equal(deadline, now_ns + 1); /* its user looks at the clock */
}

static void test_call_that_returns_gives_the_timer_back(void **state)
{
    (void)state;
    unsigned count = 0;
    assert_int_equal(call(return_early, &count), OK);
    assert_int_equal(count, 1);
    assert_given_back();
}

static void test_interrupt_that_comes_early_waits_for_the_rest(void **state)
{
    (void)state;
    unsigned count = 0;
    assert_int_equal(call(come_early_then_return, &count), OK);
    assert_int_equal(count, 1);
    assert_given_back();
}

static void test_call_that_takes_too_long_is_ended(void **state)
{
    (void)state;
    unsigned count = 0;
    assert_int_equal(call(take_too_long, &count), ERR_TIMEOUT);
    assert_int_equal(count, 0);
    assert_given_back();
}

static void test_call_that_cannot_be_ended_yet_is_ended_later(void **state)
{
    (void)state;
    unsigned count = 0;
    assert_int_equal(call(be_spared_once, &count), ERR_TIMEOUT);
    assert_int_equal(count, 1);
    assert_given_back();
}

static void test_call_that_faults_is_not_struck_afterwards(void **state)
{
    (void)state;
    unsigned count = 0;
    assert_int_equal(call(fault, &count), ERR_FAULT);
    assert_int_equal(count, 1);
    assert_given_back();
}

static void test_timer_that_nobody_used_stays_stopped(void **state)
{
    (void)state;
    unsigned count = 0;
    lvt = LOCAL_APIC_LVT_MASKED;
    assert_int_equal(call(return_early, &count), OK);
    assert_int_equal(lvt, LOCAL_APIC_LVT_MASKED);
    assert_int_equal(deadline, 0);
}

static void count_up(void *argument)
{
    *(unsigned *)argument += 1;
}

static void test_cpu_without_a_timer_has_no_limit(void **state)
{
    (void)state;
    unsigned count = 0;
    has_apic = false;
    assert_int_equal(call(count_up, &count), OK);
    assert_int_equal(count, 1);
    assert_int_equal(calls_without_limit, 1);
    assert_int_equal(lvt, OLD_VECTOR);
    assert_int_equal(priority, OLD_LEVEL);
}

/* First of all: the handler is registered once. */
static void test_vector_that_is_taken_is_an_error(void **state)
{
    (void)state;
    struct time_limit *limit = NULL;
    register_status = ERR_BUSY;
    assert_int_equal(time_limit_begin(&limit), ERR_BUSY);
    assert_null(limit);
    assert_int_equal(lvt, OLD_VECTOR);
    assert_int_equal(deadline, 7777);
}

static void test_timer_that_fails_is_an_error_and_given_back(void **state)
{
    (void)state;
    struct time_limit *limit = NULL;
    timer_status = ERR_IO;
    assert_int_equal(time_limit_begin(&limit), ERR_IO);
    assert_null(limit);
    assert_given_back();
}

static void test_drop_that_is_begun_again_does_no_more(void **state)
{
    (void)state;
    struct time_limit *limit = NULL;
    assert_int_equal(time_limit_begin(&limit), OK);
    struct time_limit *again = limit;
    time_limit_drop(&limit);
    assert_null(limit);
    assert_given_back();
    lvt = OLD_VECTOR + 1;
    time_limit_drop(&again);
    assert_int_equal(lvt, OLD_VECTOR + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_vector_that_is_taken_is_an_error, start),
        cmocka_unit_test_setup(test_timer_that_fails_is_an_error_and_given_back, start),
        cmocka_unit_test_setup(test_call_that_returns_gives_the_timer_back, start),
        cmocka_unit_test_setup(test_interrupt_that_comes_early_waits_for_the_rest, start),
        cmocka_unit_test_setup(test_call_that_takes_too_long_is_ended, start),
        cmocka_unit_test_setup(test_call_that_cannot_be_ended_yet_is_ended_later, start),
        cmocka_unit_test_setup(test_call_that_faults_is_not_struck_afterwards, start),
        cmocka_unit_test_setup(test_timer_that_nobody_used_stays_stopped, start),
        cmocka_unit_test_setup(test_cpu_without_a_timer_has_no_limit, start),
        cmocka_unit_test_setup(test_drop_that_is_begun_again_does_no_more, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
