/* SPDX-License-Identifier: MIT */
/* What the checks of lock_order find, by real locks of all types, and that they find nothing else.
 */
#include "lock_order.h"
#include "logger.h"
#include "mutex.h"
#include "reader_writer_lock.h"
#include "spinlock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char logged[2048];

void logger_write(enum log_level level, const char *cell, const char *format, ...)
{
    (void)level, (void)cell;
    size_t length = strlen(logged);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(logged + length, sizeof(logged) - length, format, arguments);
    va_end(arguments);
    strncat(logged, "\n", sizeof(logged) - strlen(logged) - 1);
}

static struct spinlock a = {.name = "a"};
static struct spinlock b = {.name = "b"};
static struct irq_spinlock irq = {.name = "irq"};
static struct mutex m = {.name = "m"};
static struct mutex n = {.name = "n"};
static struct reader_writer_lock rw = {.lock = {.name = "rw"}};

static int reset(void **state)
{
    (void)state;
    lock_order_reset();
    logged[0] = '\0';
    return 0;
}

static void assert_findings(unsigned count)
{
    if (lock_order_statistics().findings != count) {
        fail_msg("%u findings, not %u:\n%s", lock_order_statistics().findings, count, logged);
    }
}

static void assert_logged(const char *text)
{
    if (!strstr(logged, text)) {
        fail_msg("\"%s\" is not in the report:\n%s", text, logged);
    }
}

static void take_a_b(void)
{
    GUARD(spinlock, first, &a);
    GUARD(spinlock, second, &b);
}

static void take_b_a(void)
{
    GUARD(spinlock, first, &b);
    GUARD(spinlock, second, &a);
}

static void take_m_n(void)
{
    GUARD(mutex, first, &m);
    GUARD(mutex, second, &n);
}

static void test_lock_order_same_order_is_no_finding(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        take_a_b();
        take_m_n();
    }
    {
        GUARD(mutex, first, &n);
        GUARD(read_side, second, &rw.read);
        GUARD(spinlock, third, &a);
        GUARD(irq_spinlock, fourth, &irq);
    }
    assert_findings(0);
    assert_string_equal(logged, "");
    assert_true(lock_order_statistics().kinds >= 6);
    assert_true(lock_order_statistics().orders >= 2 + 6);
}

static void test_lock_order_both_orders_are_reported_once_with_names(void **state)
{
    (void)state;
    take_a_b();
    take_b_a();
    assert_findings(1);
    assert_logged("spinlock b and spinlock a are taken in both orders");
    assert_logged("spinlock a was taken at 0x");
    assert_logged("while spinlock b was held");
    assert_logged("spinlock b was taken at 0x");
    assert_logged("while spinlock a was held");
    take_b_a();
    take_a_b();
    assert_findings(1);
}

static void test_lock_order_contradiction_through_others_names_all(void **state)
{
    (void)state;
    take_m_n();
    {
        GUARD(mutex, first, &n);
        GUARD(write_side, second, &rw.write);
    }
    assert_findings(0);
    {
        GUARD(read_side, first, &rw.read);
        GUARD(mutex, second, &m);
    }
    assert_findings(1);
    assert_logged("mutex n was taken");
    assert_logged("while mutex m was held");
    assert_logged("reader_writer_lock rw was taken");
    assert_logged("while mutex n was held");
    assert_logged("mutex m was taken");
    assert_logged("while reader_writer_lock rw was held");
}

static void test_lock_order_of_one_kind_is_that_of_addresses(void **state)
{
    (void)state;
    static struct spinlock kind[2] = {{.name = "kind"}, {.name = "kind"}};
    {
        GUARD(spinlock, low, &kind[0]);
        GUARD(spinlock, high, &kind[1]);
    }
    assert_findings(0);
    {
        GUARD(spinlock, high, &kind[1]);
        GUARD(spinlock, low, &kind[0]);
    }
    assert_findings(1);
    assert_logged("spinlock kind is taken at 0x");
}

static void test_lock_order_attempt_counts_as_held_only(void **state)
{
    (void)state;
    take_a_b();
    {
        GUARD(spinlock, first, &b);
        OWNED(spinlock, second);
        assert_true(spinlock_try_lock(&a, SLOT(second)));
    }
    assert_findings(0);
    OWNED(mutex, held);
    assert_true(mutex_try_lock(&n, SLOT(held)));
    GUARD(mutex, other, &m);
    assert_findings(0);
    mutex_unlock(SLOT(other));
    mutex_unlock(SLOT(held));
    take_m_n();
    assert_findings(1);
}

static void test_lock_order_spinlock_in_handler_is_reported(void **state)
{
    (void)state;
    CPU_LOCAL(interrupt_depth) = 1;
    {
        GUARD(irq_spinlock, held, &irq);
    }
    assert_findings(0);
    take_a_b();
    CPU_LOCAL(interrupt_depth) = 0;
    assert_findings(2);
    assert_logged("spinlock a is taken at 0x");
    assert_logged("in a handler of interrupts");
}

static void test_lock_order_spinlock_under_lock_of_handlers_is_reported(void **state)
{
    (void)state;
    {
        GUARD(irq_spinlock, outer, &irq);
        GUARD(spinlock, inner, &a);
    }
    assert_findings(0); /* no handler takes it, as far as is known */
    CPU_LOCAL(interrupt_depth) = 1;
    {
        GUARD(irq_spinlock, held, &irq);
    }
    CPU_LOCAL(interrupt_depth) = 0;
    {
        GUARD(irq_spinlock, outer, &irq);
        GUARD(spinlock, inner, &a);
    }
    assert_findings(1);
    assert_logged("spinlock a is taken at 0x");
    assert_logged("while irq_spinlock irq is held, for which handlers of interrupts wait");
}

static void test_lock_order_mutex_under_spinlock_is_reported(void **state)
{
    (void)state;
    {
        GUARD(spinlock, outer, &a);
        GUARD(mutex, inner, &m);
    }
    assert_findings(1);
    assert_logged("mutex m is taken at 0x");
    assert_logged("while preemption is held");
}

static void test_lock_order_lock_without_a_name_is_not_looked_at(void **state)
{
    (void)state;
    static struct spinlock nameless;
    {
        GUARD(spinlock, first, &nameless);
        GUARD(spinlock, second, &a);
    }
    {
        GUARD(spinlock, first, &a);
        GUARD(spinlock, second, &nameless);
    }
    assert_findings(0);
    assert_int_equal(lock_order_statistics().kinds, 1);
}

static void test_lock_order_more_kinds_than_fit_are_counted(void **state)
{
    (void)state;
    char name[16];
    for (unsigned i = 0; i < LOCK_ORDER_KINDS + 3; i++) {
        snprintf(name, sizeof(name), "kind %u", i);
        struct spinlock lock = {.name = name};
        GUARD(spinlock, held, &lock);
    }
    assert_int_equal(lock_order_statistics().kinds, LOCK_ORDER_KINDS);
    assert_int_equal(lock_order_statistics().lost, 3);
    take_a_b();
    take_b_a();
    assert_findings(0);
}

/* ---- cells that are replaced ---- */

static void drop_gem(void **handle)
{
    (void)handle;
}

static const char *name_gem(const void *lock)
{
    return lock;
}

/* The type is in a cell that goes: what was noted of it stays, without the type. */
static void test_lock_order_types_may_go(void **state)
{
    (void)state;
    static const char gem[] = "ruby";
    char what[] = "jewel";
    struct lock_type type = {.what = what, .drop = drop_gem, .name = name_gem, .parks = true};
    lock_order_check(&type, gem, NULL, NULL);
    memset(&type, 0xff, sizeof(type));
    memset(what, 'x', sizeof(what) - 1);
    struct lock_type successor = {
        .what = "jewel", .drop = drop_gem, .name = name_gem, .parks = true};
    preemption_hold();
    lock_order_check(&successor, gem, NULL, NULL);
    preemption_release();
    assert_int_equal(lock_order_statistics().kinds, 1); /* it is the same kind */
    assert_findings(1);
    assert_logged("jewel ruby is taken at");
}

#define TEST(name) cmocka_unit_test_setup(test_lock_order_##name, reset)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(same_order_is_no_finding),
        TEST(both_orders_are_reported_once_with_names),
        TEST(contradiction_through_others_names_all),
        TEST(of_one_kind_is_that_of_addresses),
        TEST(attempt_counts_as_held_only),
        TEST(spinlock_in_handler_is_reported),
        TEST(spinlock_under_lock_of_handlers_is_reported),
        TEST(mutex_under_spinlock_is_reported),
        TEST(lock_without_a_name_is_not_looked_at),
        TEST(types_may_go),
        TEST(more_kinds_than_fit_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
