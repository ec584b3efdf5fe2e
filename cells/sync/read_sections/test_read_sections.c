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

static struct read_sections domain;

static void test_read_sections_hold_preemption_and_nest(void **state)
{
    (void)state;
    struct read_section *outer = read_sections_enter(&domain);
    struct read_section *inner = read_sections_enter(&domain);
    assert_int_equal(preemption_count(), 2);
    assert_int_equal(outer->readers, 2);
    read_sections_leave(inner);
    read_sections_leave(outer);
    assert_int_equal(preemption_count(), 0);
    assert_int_equal(outer->readers, 0);
}

static void test_read_sections_without_readers_nobody_waits(void **state)
{
    (void)state;
    uint64_t phase = domain.phase;
    assert_true(read_sections_wait(&domain));
    assert_int_equal(domain.phase - phase, 2); /* both counts were looked at */
}

/* In both phases: the reader may have counted itself under either. */
static void test_read_sections_reader_that_stays_is_reported(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct read_section *section = read_sections_enter(&domain);
        assert_false(read_sections_wait(&domain));
        read_sections_leave(section);
        assert_true(read_sections_wait(&domain));
        domain.phase++;
    }
}

static struct { /* atomic */
    uint32_t entered;
    uint32_t waited;
} order;

static void *wait_for_reader(void *unused)
{
    (void)unused;
    while (!__atomic_load_n(&order.entered, __ATOMIC_ACQUIRE)) {
        cpu_relax();
    }
    bool good = read_sections_wait(&domain);
    __atomic_store_n(&order.waited, good, __ATOMIC_RELEASE);
    return NULL;
}

static void test_read_sections_writer_waits_for_an_older_reader_only(void **state)
{
    (void)state;
    pthread_t writer;
    uint64_t phase = domain.phase;
    assert_int_equal(pthread_create(&writer, NULL, wait_for_reader, NULL), 0);
    struct read_section *section = read_sections_enter(&domain);
    __atomic_store_n(&order.entered, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&domain.phase, __ATOMIC_ACQUIRE) == phase) {
        cpu_relax(); /* it has begun to wait */
    }
    struct read_section *newer = read_sections_enter(&domain);
    assert_ptr_not_equal(newer, section);
    read_sections_leave(newer);
    assert_int_equal(__atomic_load_n(&order.waited, __ATOMIC_ACQUIRE), 0);
    read_sections_leave(section);
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_int_equal(order.waited, 1);
}

static uint32_t versions[2];
static uint32_t *current; /* atomic */
static uint32_t stop;     /* atomic */
static uint32_t bad;      /* atomic: a reader saw what was freed */

static void *read_often(void *unused)
{
    (void)unused;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        struct read_section *section = read_sections_enter(&domain);
        const uint32_t *seen = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
        for (unsigned i = 0; i < 20; i++) {
            if (__atomic_load_n(seen, __ATOMIC_RELAXED) != FRESH) {
                __atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
            }
        }
        read_sections_leave(section);
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
            in_time = read_sections_wait(&domain);
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
        cmocka_unit_test(test_read_sections_without_readers_nobody_waits),
        cmocka_unit_test(test_read_sections_reader_that_stays_is_reported),
        cmocka_unit_test(test_read_sections_writer_waits_for_an_older_reader_only),
        cmocka_unit_test(test_read_sections_nobody_sees_what_was_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
