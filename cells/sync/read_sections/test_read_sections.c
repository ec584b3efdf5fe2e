/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "read_sections.h"

#define READERS 2
#define CHANGES 300u
#define FRESH   0x600du
#define FREED   0xdeadu

static void test_read_sections_hold_preemption_and_nest(void **state)
{
    (void)state;
    read_sections_enter();
    read_sections_enter();
    preemption_hold();
    assert_int_equal(preemption_count(), 2 * HOLD_SECTION + 3);
    read_sections_leave();
    preemption_release();
    assert_int_equal(preemption_count(), HOLD_SECTION + 1);
    assert_false(read_sections_wait());
    read_sections_leave();
    assert_int_equal(preemption_count(), 0);
    assert_true(read_sections_wait());
}

static void test_read_sections_are_not_holds(void **state)
{
    (void)state;
    preemption_hold();
    assert_true(read_sections_wait()); /* nobody reads who holds only */
    preemption_release();
}

/* What a task does when it may be switched again. */
static unsigned switches;

static void reschedule(void)
{
    switches++;
    preemption_clear_request();
}

static void test_read_sections_leaving_the_last_switches_who_is_to_be(void **state)
{
    (void)state;
    CPU_LOCAL(reschedule) = reschedule;
    switches = 0;
    read_sections_enter();
    preemption_hold();
    preemption_request();
    preemption_release();
    assert_int_equal(switches, 0);
    read_sections_leave();
    assert_int_equal(switches, 1);
    CPU_LOCAL(reschedule) = NULL;
}

/* As catch does, with or without a section around the catch point, and whatever else was held. */
static void test_read_sections_cut_off_by_a_fault_are_not_waited_for(void **state)
{
    (void)state;
    for (unsigned around = 0; around < 2; around++) {
        for (unsigned within = 0; within < 3; within++) {
            for (unsigned i = 0; i < around; i++) {
                read_sections_enter();
            }
            uint32_t count = preemption_count();
            preemption_hold();
            for (unsigned i = 0; i < within; i++) {
                read_sections_enter();
            }
            preemption_end_sections(count);
            assert_int_equal(preemption_count() & HOLD_SECTIONS, count & HOLD_SECTIONS);
            assert_int_equal(preemption_count() & ~HOLD_SECTIONS, 1 + around + within);
            preemption_restore(count);
            assert_int_equal(preemption_count(), count);
            for (unsigned i = 0; i < around; i++) {
                read_sections_leave();
            }
            assert_true(read_sections_wait());
        }
    }
}

static void test_read_sections_restoring_switches_who_is_to_be(void **state)
{
    (void)state;
    CPU_LOCAL(reschedule) = reschedule;
    switches = 0;
    read_sections_enter();
    preemption_request();
    preemption_restore(0);
    assert_int_equal(switches, 1);
    assert_int_equal(CPU_LOCAL(hold), HOLD_UNWANTED);
    preemption_restore(0);
    assert_int_equal(switches, 1);
    CPU_LOCAL(reschedule) = NULL;
}

static struct { /* atomic */
    uint32_t entered;
    uint32_t waits;
    uint32_t waited;
} order;

static void *wait_for_reader(void *unused)
{
    (void)unused;
    while (!__atomic_load_n(&order.entered, __ATOMIC_ACQUIRE)) {
        cpu_relax();
    }
    __atomic_store_n(&order.waits, 1, __ATOMIC_RELEASE);
    bool good = read_sections_wait();
    __atomic_store_n(&order.waited, good ? 1 : 2, __ATOMIC_RELEASE);
    return NULL;
}

static void test_read_sections_writer_waits_for_a_reader(void **state)
{
    (void)state;
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, wait_for_reader, NULL), 0);
    read_sections_enter();
    __atomic_store_n(&order.entered, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&order.waits, __ATOMIC_ACQUIRE)) {
        cpu_relax();
    }
    for (unsigned i = 0; i < 1000; i++) {
        read_sections_enter(); /* a nested one that ends is not the end */
        read_sections_leave();
        assert_int_not_equal(__atomic_load_n(&order.waited, __ATOMIC_ACQUIRE), 1);
    }
    read_sections_leave();
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_int_not_equal(order.waited, 0);
}

/* A CPU that comes when others wait, and goes: its place is given to the next. */
static void *read_once(void *unused)
{
    (void)unused;
    assert_null(CPU_LOCAL(self));
    read_sections_enter();
    assert_ptr_equal(cpu_local_all.of[1], cpu_local_get());
    read_sections_leave();
    return NULL;
}

static void test_read_sections_are_found_on_cpus_that_come_late(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        pthread_t reader;
        assert_int_equal(pthread_create(&reader, NULL, read_once, NULL), 0);
        assert_int_equal(pthread_join(reader, NULL), 0);
        assert_ptr_equal(cpu_local_all.of[0], cpu_local_get());
        assert_null(cpu_local_all.of[1]);
        assert_int_equal(cpu_local_all.count, 2);
        assert_true(read_sections_wait());
    }
}

static uint32_t versions[2];
static uint32_t *current; /* atomic */
static uint32_t stop;     /* atomic */
static uint32_t bad;      /* atomic: a reader saw what was freed */

static void *read_often(void *unused)
{
    (void)unused;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        read_sections_enter();
        const uint32_t *seen = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
        for (unsigned i = 0; i < 20; i++) {
            if (__atomic_load_n(seen, __ATOMIC_RELAXED) != FRESH) {
                __atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
            }
        }
        read_sections_leave();
    }
    return NULL;
}

static void test_read_sections_nobody_sees_what_was_freed(void **state)
{
    (void)state;
    pthread_t readers[READERS];
    versions[0] = FRESH;
    current = &versions[0];
    for (unsigned i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_often, NULL), 0);
    }
    bool in_time = true;
    for (unsigned i = 1; i <= CHANGES && in_time; i++) {
        uint32_t *old = current;
        uint32_t *new = &versions[i & 1];
        __atomic_store_n(new, FRESH, __ATOMIC_RELAXED);
        __atomic_store_n(&current, new, __ATOMIC_RELEASE);
        for (unsigned tries = 0; tries < 100; tries++) { /* a thread may be off its CPU for long */
            in_time = read_sections_wait();
            if (in_time) {
                break;
            }
        }
        __atomic_store_n(old, in_time ? FREED : FRESH, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    }
    assert_true(in_time);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_sections_hold_preemption_and_nest),
        cmocka_unit_test(test_read_sections_are_not_holds),
        cmocka_unit_test(test_read_sections_leaving_the_last_switches_who_is_to_be),
        cmocka_unit_test(test_read_sections_cut_off_by_a_fault_are_not_waited_for),
        cmocka_unit_test(test_read_sections_restoring_switches_who_is_to_be),
        cmocka_unit_test(test_read_sections_are_found_on_cpus_that_come_late),
        cmocka_unit_test(test_read_sections_writer_waits_for_a_reader),
        cmocka_unit_test(test_read_sections_nobody_sees_what_was_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
