/* SPDX-License-Identifier: MIT */
/* Registration and dispatch; entry and exit are assembly, and seen in the boot tests. */
#include "interrupts.h"
#include "interrupts_priv.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "cpu_local.h"
#include "exceptions.h"
#include "x86.h"

const uint64_t interrupts_stubs[INTERRUPT_COUNT] = {[0] = 1, [INTERRUPT_COUNT - 1] = 2};

void write_msr(uint32_t msr, uint64_t value)
{
    (void)msr;
    (void)value;
}

static uint64_t gates[VECTOR_COUNT];
static unsigned ends;
static unsigned calls;
static unsigned reschedules;

void exceptions_set_gate(unsigned vector, uint64_t entry)
{
    gates[vector] = entry;
}

static void count_end(void)
{
    ends++;
}

static void count_call(void *context)
{
    calls += *(unsigned *)context;
}

static void count_reschedule(void)
{
    reschedules++;
}

static unsigned one = 1;

static int start(void **state)
{
    (void)state;
    interrupts_init();
    interrupts_set_end(count_end);
    ends = 0;
    calls = 0;
    reschedules = 0;
    CPU_LOCAL(index) = 0;
    return 0;
}

static void test_init_fills_all_gates_behind_the_exceptions(void **state)
{
    (void)state;
    assert_int_equal(gates[INTERRUPT_FIRST], 1);
    assert_int_equal(gates[INTERRUPT_SPURIOUS], 2);
    gates[INTERRUPT_FIRST] = 7;
    interrupts_init();
    assert_int_equal(gates[INTERRUPT_FIRST], 7); /* once */
}

static void test_dispatch_calls_counts_and_ends(void **state)
{
    (void)state;
    uint64_t before = interrupts_count(100, 0);
    OWNED(interrupt, interrupt);
    assert_int_equal(interrupt_register(100, "test", count_call, &one, SLOT(interrupt)), OK);
    assert_int_equal(interrupt_vector(REF(interrupt)), 100);
    assert_string_equal(interrupts_name(100), "test");
    interrupts_dispatch(100 - INTERRUPT_FIRST);
    assert_int_equal(calls, 1);
    assert_int_equal(ends, 1);
    assert_int_equal(interrupts_count(100, 0), before + 1);
    CPU_LOCAL(index) = CPU_LIMIT - 1;
    interrupts_dispatch(100 - INTERRUPT_FIRST);
    assert_int_equal(interrupts_count(100, 0), before + 1);
    assert_int_equal(interrupts_count(100, CPU_LIMIT - 1), 1);
}

static unsigned seen_current;
static uint32_t seen_hold;

static void look_at_current(void *unused)
{
    (void)unused;
    seen_current = interrupts_current();
    CPU_LOCAL(hold) += HOLD_SECTION + 1; /* what the handler itself holds is not asked for */
    CPU_LOCAL(hold) &= ~HOLD_UNWANTED;
    seen_hold = interrupts_hold();
    CPU_LOCAL(hold) -= HOLD_SECTION + 1;
}

static void test_current_is_the_vector_of_the_handler(void **state)
{
    (void)state;
    OWNED(interrupt, interrupt);
    assert_int_equal(interrupt_register(104, "now", look_at_current, NULL, SLOT(interrupt)), OK);
    assert_int_equal(interrupts_current(), 0);
    CPU_LOCAL(hold) = HOLD_UNWANTED | 3;
    interrupts_dispatch(104 - INTERRUPT_FIRST);
    assert_int_equal(CPU_LOCAL(hold), 3);
    CPU_LOCAL(hold) = HOLD_UNWANTED;
    assert_int_equal(seen_current, 104);
    assert_int_equal(seen_hold, 3);
    assert_int_equal(interrupts_current(), 0);
}

static void test_register_of_a_vector_that_has_a_handler_is_refused(void **state)
{
    (void)state;
    OWNED(interrupt, first);
    OWNED(interrupt, second);
    assert_int_equal(interrupt_register(101, "first", count_call, &one, SLOT(first)), OK);
    assert_int_equal(interrupt_register(101, "second", count_call, &one, SLOT(second)), ERR_BUSY);
    assert_false(HELD(second));
    interrupt_drop(SLOT(first));
    assert_int_equal(interrupt_register(101, "second", count_call, &one, SLOT(second)), OK);
}

static void test_register_outside_of_the_interrupts_is_refused(void **state)
{
    (void)state;
    OWNED(interrupt, interrupt);
    static const unsigned vectors[] = {0, 31, INTERRUPT_SPURIOUS, 256, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
        assert_int_equal(interrupt_register(vectors[i], "test", count_call, &one, SLOT(interrupt)),
                         ERR_OUT_OF_BOUNDS);
    }
    assert_null(interrupts_name(31));
    assert_null(interrupts_name(256));
    assert_int_equal(interrupts_count(31, 0), 0);
    assert_int_equal(interrupts_count(256, 0), 0);
    assert_int_equal(interrupts_count(32, CPU_LIMIT), 0);
}

static void test_register_any_gives_each_vector_once(void **state)
{
    (void)state;
    struct interrupt *all[INTERRUPT_COUNT] = {0};
    unsigned count = 0;
    enum status status = OK;
    while (status == OK) {
        OWNED(interrupt, interrupt);
        status = interrupt_register_any("any", count_call, &one, SLOT(interrupt));
        if (status == OK) {
            assert_int_equal(interrupt_vector(REF(interrupt)), INTERRUPT_ANY_FIRST + count);
            STORE(all[count], interrupt);
            count++;
        }
    }
    assert_int_equal(status, ERR_LIMIT);
    assert_int_equal(count, INTERRUPT_ANY_LAST - INTERRUPT_ANY_FIRST + 1);
    for (unsigned i = 0; i < count; i++) {
        interrupt_drop(&all[i]);
        assert_null(interrupts_name(INTERRUPT_ANY_FIRST + i));
    }
}

static void test_dispatch_without_handler_counts_and_ends(void **state)
{
    (void)state;
    uint64_t before = interrupts_count(102, 0);
    interrupts_dispatch(102 - INTERRUPT_FIRST);
    interrupts_dispatch(102 - INTERRUPT_FIRST);
    assert_int_equal(interrupts_count(102, 0), before + 2);
    assert_int_equal(ends, 2);
}

static void test_spurious_interrupts_are_counted_and_not_ended(void **state)
{
    (void)state;
    uint64_t before = interrupts_count(INTERRUPT_SPURIOUS, 0);
    interrupts_note_spurious();
    assert_int_equal(interrupts_count(INTERRUPT_SPURIOUS, 0), before + 1);
    assert_int_equal(ends, 0);
}

static void test_reschedule_only_where_interrupts_were_enabled(void **state)
{
    (void)state;
    struct interrupt_frame frame = {.rflags = 0};
    interrupts_reschedule(&frame); /* before there is a scheduler */
    CPU_LOCAL(reschedule) = count_reschedule;
    interrupts_reschedule(&frame);
    assert_int_equal(reschedules, 0);
    frame.rflags = RFLAGS_INTERRUPTS;
    interrupts_reschedule(&frame);
    assert_int_equal(reschedules, 1);
    CPU_LOCAL(reschedule) = NULL;
}

/* ---- dropping while another CPU is in the handler ---- */

#define ROUNDS 2000

/* Lives on the dropper's stack only as long as the handler is registered. */
struct life {
    uint32_t is_alive;
    uint32_t is_inside;
};

static uint32_t stop;
static uint32_t called_dead;
static uint64_t calls_of_other;

static void look_at_life(void *context)
{
    struct life *life = context;
    __atomic_store_n(&life->is_inside, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 20; i++) {
        if (!__atomic_load_n(&life->is_alive, __ATOMIC_RELAXED)) {
            __atomic_store_n(&called_dead, 1, __ATOMIC_RELAXED);
        }
    }
    __atomic_store_n(&life->is_inside, 0, __ATOMIC_RELAXED);
    calls_of_other++;
}

static void *interrupt_again_and_again(void *unused)
{
    (void)unused;
    CPU_LOCAL(index) = 1;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        interrupts_dispatch(103 - INTERRUPT_FIRST);
    }
    return NULL;
}

static void test_drop_waits_for_the_handler_on_other_cpus(void **state)
{
    (void)state;
    static struct life life;
    pthread_t thread;
    interrupts_set_end(NULL);
    stop = 0;
    assert_int_equal(pthread_create(&thread, NULL, interrupt_again_and_again, NULL), 0);
    for (unsigned i = 0; i < ROUNDS || calls_of_other == 0; i++) {
        OWNED(interrupt, interrupt);
        __atomic_store_n(&life.is_alive, 1, __ATOMIC_SEQ_CST);
        assert_int_equal(interrupt_register(103, "life", look_at_life, &life, SLOT(interrupt)), OK);
        for (unsigned spins = i % 64; spins > 0; spins--) {
            COMPILER_BARRIER();
        }
        interrupt_drop(SLOT(interrupt));
        assert_int_equal(__atomic_load_n(&life.is_inside, __ATOMIC_RELAXED), 0);
        __atomic_store_n(&life.is_alive, 0, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(called_dead, 0);
    assert_true(calls_of_other > 0);
}

int main(void)
{
    OWNED(interrupt, interrupt);
    if (interrupt_register(100, "early", count_call, &one, SLOT(interrupt)) != ERR_STATE) {
        return 1; /* before interrupts_init() */
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_init_fills_all_gates_behind_the_exceptions, start),
        cmocka_unit_test_setup(test_dispatch_calls_counts_and_ends, start),
        cmocka_unit_test_setup(test_current_is_the_vector_of_the_handler, start),
        cmocka_unit_test_setup(test_register_of_a_vector_that_has_a_handler_is_refused, start),
        cmocka_unit_test_setup(test_register_outside_of_the_interrupts_is_refused, start),
        cmocka_unit_test_setup(test_register_any_gives_each_vector_once, start),
        cmocka_unit_test_setup(test_dispatch_without_handler_counts_and_ends, start),
        cmocka_unit_test_setup(test_spurious_interrupts_are_counted_and_not_ended, start),
        cmocka_unit_test_setup(test_reschedule_only_where_interrupts_were_enabled, start),
        cmocka_unit_test_setup(test_drop_waits_for_the_handler_on_other_cpus, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
