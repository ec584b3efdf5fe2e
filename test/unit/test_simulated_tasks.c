/* SPDX-License-Identifier: MIT */
/* The simulator itself: that it finds what is planted, and repeats itself. */
#include "simulated_tasks.h"
#include "parking.h"
#include "spinlock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS 200

static char trace[64];
static size_t trace_length;

static void write_letter(void *letter)
{
    for (unsigned i = 0; i < 3; i++) {
        trace[trace_length++] = *(const char *)letter;
        simulated_yield();
    }
}

static void trace_of_seed(uint64_t seed, char *out)
{
    memset(trace, 0, sizeof(trace));
    trace_length = 0;
    simulated_begin(&(struct simulated_options){.seed = seed});
    simulated_spawn("a", 1, write_letter, "a");
    simulated_spawn("b", 1, write_letter, "b");
    assert_int_equal(simulated_run(), SIMULATED_DONE);
    simulated_end();
    memcpy(out, trace, sizeof(trace));
}

static void test_simulated_tasks_same_seed_same_order(void **state)
{
    (void)state;
    unsigned different = 0;
    char first[sizeof(trace)];
    trace_of_seed(0, first);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        char once[sizeof(trace)];
        char again[sizeof(trace)];
        trace_of_seed(seed, once);
        trace_of_seed(seed, again);
        assert_string_equal(once, again);
        assert_int_equal(strlen(once), 6);
        different += strcmp(once, first) != 0;
    }
    assert_true(different > SEEDS / 2);
}

/* ---- what is found ---- */

static struct spinlock first_lock = {.name = "first"};
static struct spinlock second_lock = {.name = "second"};
static const struct parking_reason nothing = {.what = "nothing"};

static void take_first_and_second(void *unused)
{
    (void)unused;
    GUARD(spinlock, first, &first_lock);
    GUARD(spinlock, second, &second_lock);
}

static void take_second_and_first(void *unused)
{
    (void)unused;
    GUARD(spinlock, second, &second_lock);
    GUARD(spinlock, first, &first_lock);
}

static void test_simulated_tasks_find_locks_in_wrong_order(void **state)
{
    (void)state;
    unsigned found = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        simulated_begin(&(struct simulated_options){.seed = seed, .locks = true, .limit = 1000});
        simulated_spawn("up", 1, take_first_and_second, NULL);
        simulated_spawn("down", 1, take_second_and_first, NULL);
        found += simulated_run() == SIMULATED_ENDLESS;
        simulated_end(); /* unwinding lets both go */
        assert_false(spinlock_is_held(&first_lock));
        assert_false(spinlock_is_held(&second_lock));
    }
    assert_true(found > 0 && found < SEEDS);
}

static void wait_for_nothing(void *unused)
{
    (void)unused;
    assert_int_equal(parking_park(PARK_FOREVER, &nothing), OK);
}

static void test_simulated_tasks_wait_forever_is_a_deadlock(void **state)
{
    (void)state;
    simulated_begin(&(struct simulated_options){.seed = 1});
    struct task *task = simulated_spawn("waits", 1, wait_for_nothing, NULL);
    assert_int_equal(simulated_run(), SIMULATED_DEADLOCK);
    struct parking_reason reason;
    assert_true(parking_reason(task, &reason));
    assert_string_equal(reason.what, nothing.what);
    parking_unpark(task);
    assert_int_equal(simulated_run(), SIMULATED_DONE);
    assert_true(simulated_has_ended(task));
    simulated_end();
}

/* ---- time ---- */

static void wait_until(void *deadline)
{
    uint64_t when = *(const uint64_t *)deadline;
    simulated_assert(parking_park(when, &nothing) == ERR_TIMEOUT);
    simulated_assert(parking_now() >= when);
    simulated_assert(parking_now() < when + 100);
}

static void test_simulated_tasks_time_jumps_to_the_next_deadline(void **state)
{
    (void)state;
    static uint64_t deadlines[] = {5000000, 3000000000, 70000};
    simulated_begin(&(struct simulated_options){.seed = 3});
    for (unsigned i = 0; i < ARRAY_COUNT(deadlines); i++) {
        simulated_spawn("sleeper", 1, wait_until, &deadlines[i]);
    }
    assert_int_equal(simulated_run(), SIMULATED_DONE);
    assert_in_range(parking_now(), 3000000000, 3000001000);
    simulated_end();
    assert_int_equal(parking_now(), 0);
    assert_null(parking_self());
}

static void note_name(void *unused)
{
    (void)unused;
    trace[trace_length++] = *parking_name(parking_self());
}

static void test_simulated_tasks_by_priority_the_highest_goes_first(void **state)
{
    (void)state;
    trace_length = 0;
    simulated_begin(&(struct simulated_options){.seed = 3, .by_priority = true});
    simulated_spawn("low", 1, note_name, NULL);
    simulated_spawn("high", 9, note_name, NULL);
    struct task *lent = simulated_spawn("x", 1, note_name, NULL);
    parking_lend(lent, 5);
    assert_int_equal(simulated_run(), SIMULATED_DONE);
    assert_memory_equal(trace, "hxl", 3);
    simulated_end();
}

/* ---- kills ---- */

static unsigned progress;

static void hold_and_work(void *unused)
{
    (void)unused;
    GUARD(spinlock, held, &first_lock);
    GUARD(interrupt_mask, masked, INTERRUPTS);
    progress++;
    spinlock_unlock(SLOT(held));
}

static void test_simulated_tasks_killed_at_each_point_leave_no_lock(void **state)
{
    (void)state;
    uint64_t point = 0;
    bool killed = true;
    for (; killed; point++) {
        progress = 0;
        simulated_begin(&(struct simulated_options){.seed = point, .locks = true});
        struct task *victim = simulated_spawn("victim", 1, hold_and_work, NULL);
        simulated_spawn("other", 1, hold_and_work, NULL);
        simulated_kill_at(victim, point);
        assert_int_equal(simulated_run(), SIMULATED_DONE);
        assert_false(spinlock_is_held(&first_lock));
        assert_in_range(progress, 1, 2);
        killed = simulated_was_killed(victim);
        simulated_end();
    }
    assert_in_range(point, 5, 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simulated_tasks_same_seed_same_order),
        cmocka_unit_test(test_simulated_tasks_find_locks_in_wrong_order),
        cmocka_unit_test(test_simulated_tasks_wait_forever_is_a_deadlock),
        cmocka_unit_test(test_simulated_tasks_time_jumps_to_the_next_deadline),
        cmocka_unit_test(test_simulated_tasks_by_priority_the_highest_goes_first),
        cmocka_unit_test(test_simulated_tasks_killed_at_each_point_leave_no_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
