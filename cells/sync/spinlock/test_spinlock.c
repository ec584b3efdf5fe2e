/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "spinlock.h"

#define THREADS 3
#define ROUNDS  20000

static struct spinlock lock = {.name = "test"};
static struct irq_spinlock irq_lock = {.name = "irq test"};
static unsigned long counter; /* protected by one of them */

static void test_spinlock_scope_holds_lock_and_preemption(void **state)
{
    (void)state;
    assert_false(spinlock_is_held(&lock));
    {
        GUARD(spinlock, held, &lock);
        assert_true(spinlock_is_held(&lock));
        assert_ptr_equal(lock.holder, SLOT(held));
        assert_int_equal(preemption_count(), 1);
    }
    assert_false(spinlock_is_held(&lock));
    assert_int_equal(preemption_count(), 0);
}

static void test_spinlock_try_lock_of_held_lock_fails_and_holds_nothing(void **state)
{
    (void)state;
    GUARD(spinlock, held, &lock);
    OWNED(spinlock, second);
    assert_false(spinlock_try_lock(&lock, SLOT(second)));
    assert_false(HELD(second));
    assert_int_equal(preemption_count(), 1);
    spinlock_unlock(SLOT(held));
    assert_true(spinlock_try_lock(&lock, SLOT(second)));
    assert_int_equal(preemption_count(), 1);
}

/* A fault between intent and commit: the guard is full, but another has the lock. */
static void test_spinlock_drop_of_intent_leaves_the_lock_to_its_holder(void **state)
{
    (void)state;
    GUARD(spinlock, held, &lock);
    {
        OWNED(spinlock, wanted);
        FILL(SLOT(wanted), &lock);
    }
    assert_ptr_equal(lock.holder, SLOT(held));
    assert_int_equal(preemption_count(), 1);
}

static void test_spinlock_unwinding_unlocks_and_count_is_restored(void **state)
{
    (void)state;
    struct own_slot *top = OWN_TOP;
    uint32_t holds = preemption_count();
    {
        struct spinlock_slot held; /* without the cleanup of a block that ends well */
        own_enter(&held.slot, (own_drop_t)spinlock_drop);
        spinlock_lock(&lock, SLOT(held));
        preemption_hold(); /* what a fault inside of a primitive leaves */
        assert_int_equal(own_unwind(top, 0, UINTPTR_MAX), 1);
    }
    preemption_restore(holds);
    assert_false(spinlock_is_held(&lock));
    assert_int_equal(preemption_count(), 0);
}

static void test_irq_spinlock_nests_and_restores_interrupts(void **state)
{
    (void)state;
    static struct irq_spinlock inner;
    assert_true(interrupts_enabled());
    {
        GUARD(irq_spinlock, held, &irq_lock);
        assert_false(interrupts_enabled());
        {
            GUARD(irq_spinlock, second, &inner);
            assert_false(interrupts_enabled());
        }
        assert_false(interrupts_enabled());
    }
    assert_true(interrupts_enabled());
}

static void *count_with_spinlock(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < ROUNDS; i++) {
        GUARD(spinlock, held, &lock);
        counter++;
    }
    return NULL;
}

static void *count_with_irq_spinlock(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < ROUNDS; i++) {
        GUARD(irq_spinlock, held, &irq_lock);
        counter++;
    }
    return NULL;
}

static void run_threads(void *(*function)(void *))
{
    pthread_t threads[THREADS];
    counter = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, function, NULL), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(counter, THREADS * ROUNDS);
}

static void test_spinlocks_exclude_threads(void **state)
{
    (void)state;
    run_threads(count_with_spinlock);
    run_threads(count_with_irq_spinlock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spinlock_scope_holds_lock_and_preemption),
        cmocka_unit_test(test_spinlock_try_lock_of_held_lock_fails_and_holds_nothing),
        cmocka_unit_test(test_spinlock_drop_of_intent_leaves_the_lock_to_its_holder),
        cmocka_unit_test(test_spinlock_unwinding_unlocks_and_count_is_restored),
        cmocka_unit_test(test_irq_spinlock_nests_and_restores_interrupts),
        cmocka_unit_test(test_spinlocks_exclude_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
