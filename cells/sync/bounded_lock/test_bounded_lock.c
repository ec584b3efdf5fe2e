/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "bounded_lock.h"
#include "x86.h"

#define THREADS 3
#define ROUNDS  20000

static struct bounded_lock lock;
static unsigned long counter; /* protected by it */

static void test_bounded_lock_scope_holds_lock_and_masks_interrupts(void **state)
{
    (void)state;
    {
        OWNED(bounded_lock, held);
        assert_true(bounded_lock_lock(&lock, SLOT(held)));
        assert_ptr_equal(lock.holder, SLOT(held));
        assert_false(interrupts_enabled());
    }
    assert_null(lock.holder);
    assert_true(interrupts_enabled());
}

static void test_bounded_lock_own_cpu_in_the_middle_is_told_at_once(void **state)
{
    (void)state;
    OWNED(bounded_lock, held);
    assert_true(bounded_lock_lock(&lock, SLOT(held)));
    {
        OWNED(bounded_lock, second);
        uint64_t start = read_tsc();
        assert_false(bounded_lock_lock(&lock, SLOT(second)));
        assert_true(read_tsc() - start < BOUNDED_LOCK_TICKS);
        assert_false(HELD(second));
    }
    assert_ptr_equal(lock.holder, SLOT(held));
    assert_false(interrupts_enabled());
}

static void test_bounded_lock_drop_of_intent_leaves_the_lock_to_its_holder(void **state)
{
    (void)state;
    OWNED(bounded_lock, held);
    assert_true(bounded_lock_lock(&lock, SLOT(held)));
    {
        OWNED(bounded_lock, wanted);
        FILL(SLOT(wanted), &lock);
    }
    assert_ptr_equal(lock.holder, SLOT(held));
    assert_false(interrupts_enabled());
}

static void test_bounded_lock_unwinding_unlocks(void **state)
{
    (void)state;
    struct own_slot *top = OWN_TOP;
    {
        struct bounded_lock_slot held; /* without the cleanup of a block that ends well */
        own_enter(&held.slot, (own_drop_t)bounded_lock_drop);
        assert_true(bounded_lock_lock(&lock, SLOT(held)));
        assert_int_equal(own_unwind(top, 0, UINTPTR_MAX), 1);
    }
    assert_null(lock.holder);
    assert_true(interrupts_enabled());
}

/* What a CPU that stopped for good leaves; `lock` is another's for as long as this test runs. */
static void test_bounded_lock_of_a_stopped_cpu_is_waited_for_once(void **state)
{
    (void)state;
    struct bounded_lock *left = NULL;
    lock.holder = &left;
    {
        OWNED(bounded_lock, wanted);
        uint64_t start = read_tsc();
        assert_false(bounded_lock_lock(&lock, SLOT(wanted)));
        uint64_t middle = read_tsc();
        assert_true(middle - start > BOUNDED_LOCK_TICKS);
        assert_false(HELD(wanted));
        assert_true(interrupts_enabled());
        assert_false(bounded_lock_lock(&lock, SLOT(wanted)));
        assert_true(read_tsc() - middle < BOUNDED_LOCK_TICKS / 2);
    }
    left = &lock; /* it goes on after all */
    bounded_lock_drop(&left);
    OWNED(bounded_lock, held);
    assert_true(bounded_lock_lock(&lock, SLOT(held)));
}

static void *count(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < ROUNDS; i++) {
        OWNED(bounded_lock, held);
        if (bounded_lock_lock(&lock, SLOT(held))) {
            counter++;
        }
    }
    return NULL;
}

static void test_bounded_lock_excludes_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    counter = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(counter, THREADS * ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounded_lock_scope_holds_lock_and_masks_interrupts),
        cmocka_unit_test(test_bounded_lock_own_cpu_in_the_middle_is_told_at_once),
        cmocka_unit_test(test_bounded_lock_drop_of_intent_leaves_the_lock_to_its_holder),
        cmocka_unit_test(test_bounded_lock_unwinding_unlocks),
        cmocka_unit_test(test_bounded_lock_of_a_stopped_cpu_is_waited_for_once),
        cmocka_unit_test(test_bounded_lock_excludes_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
