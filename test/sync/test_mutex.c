/* SPDX-License-Identifier: MIT */
/*
 * Mutexes: exclusion, order, inherited priorities, deadlocks and kills, in many orders. The run is
 * compared with what this file knows by itself: who is inside, who waits, who could never go on.
 */
#include "mutex.h"
#include "logger.h"
#include "simulated_tasks.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TASKS   5
#define MUTEXES 3
#define SEEDS   300

/* ---- a logger that keeps what it is told ---- */

static char logged[1024];
static unsigned reports;

void logger_write(enum log_level level, const char *cell, const char *format, ...)
{
    (void)level, (void)cell;
    reports += strncmp(format, "deadlock", strlen("deadlock")) == 0;
    size_t length = strlen(logged);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(logged + length, sizeof(logged) - length, format, arguments);
    va_end(arguments);
    strncat(logged, "\n", sizeof(logged) - strlen(logged) - 1);
}

/* ---- what is under test, and what is known about it ---- */

static struct mutex mutexes[MUTEXES] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
static struct task *inside[MUTEXES]; /* who is in the critical section */
static struct task *tasks[TASKS];
static unsigned entries;
static unsigned timeouts;
static unsigned refusals;

static const char *const names[TASKS] = {"zero", "one", "two", "three", "four"};

static void forget(void)
{
    memset(inside, 0, sizeof(inside));
    memset(tasks, 0, sizeof(tasks));
    entries = 0;
    logged[0] = '\0';
}

static void enter(unsigned i)
{
    simulated_assert(!inside[i] || simulated_was_killed(inside[i]));
    simulated_assert(mutex_is_mine(&mutexes[i]));
    inside[i] = parking_self();
    entries++;
}

static void leave(unsigned i)
{
    simulated_assert(inside[i] == parking_self());
    inside[i] = NULL;
}

static unsigned comparisons;

static const struct task *owner_of(const struct mutex *mutex)
{
    return (const struct task *)(mutex->owner & ~MUTEX_WAITED);
}

/* What a task waits for; NULL: for no mutex. */
static const struct mutex *wanted_by(const struct task *task)
{
    struct parking_reason reason;
    bool waits = parking_reason(task, &reason) && strcmp(reason.what, "mutex") == 0;
    return waits ? reason.object : NULL;
}

/* Each task that waits for a mutex finds its owner at least as urgent as itself. */
static void check_priorities(void)
{
    if (simulated_anybody_holds()) {
        return;
    }
    for (unsigned i = 0; i < TASKS; i++) {
        const struct mutex *mutex = tasks[i] ? wanted_by(tasks[i]) : NULL;
        if (mutex) {
            const struct task *owner = owner_of(mutex);
            simulated_assert(owner && parking_priority(owner) >= parking_priority(tasks[i]));
            comparisons++;
        }
    }
}

/* Could `self` never get this mutex? */
static bool would_wait_for_itself(const struct mutex *mutex, const struct task *self)
{
    const struct task *owner = owner_of(mutex);
    while (owner && owner != self) {
        mutex = wanted_by(owner);
        owner = mutex ? owner_of(mutex) : NULL;
    }
    return owner == self;
}

static void assert_all_unlocked(void)
{
    for (unsigned i = 0; i < MUTEXES; i++) {
        simulated_assert(!mutex_is_held(&mutexes[i]));
        simulated_assert(!mutexes[i].guard);
    }
    for (unsigned i = 0; i < TASKS; i++) {
        simulated_assert(!tasks[i] || simulated_was_killed(tasks[i]) || !simulated_lent(tasks[i]));
    }
}

static void spawn_all(void (*function)(void *))
{
    for (unsigned i = 0; i < TASKS; i++) {
        tasks[i] = simulated_spawn(names[i], 1 + simulated_random(9), function, NULL);
    }
}

static void run_to_the_end(void)
{
    if (simulated_run() != SIMULATED_DONE) {
        simulated_fail(__FILE__, __LINE__, "tasks are left");
    }
}

/* ---- exclusion ---- */

static void work(unsigned i)
{
    enter(i);
    check_priorities();
    simulated_yield();
    check_priorities();
    leave(i);
}

/* One mutex at a time, in every way to take it. */
static void take_in_every_way(void *unused)
{
    (void)unused;
    for (unsigned round = 0; round < 4; round++) {
        unsigned i = simulated_random(MUTEXES);
        OWNED(mutex, held);
        switch (simulated_random(3)) {
        case 0:
            mutex_lock(&mutexes[i], SLOT(held));
            break;
        case 1:
            if (!mutex_try_lock(&mutexes[i], SLOT(held))) {
                simulated_assert(!HELD(held));
                continue;
            }
            break;
        default:
            if (mutex_lock_until(&mutexes[i], SLOT(held), parking_deadline(simulated_random(40))) ==
                ERR_TIMEOUT) {
                simulated_assert(!HELD(held));
                timeouts++;
                continue;
            }
        }
        simulated_assert(HELD(held));
        work(i);
    }
}

static void test_mutex_in_every_way_excludes_and_is_free_in_the_end(void **state)
{
    (void)state;
    unsigned contended = 0;
    timeouts = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        forget();
        simulated_begin(&(struct simulated_options){.seed = seed, .locks = seed & 1});
        spawn_all(take_in_every_way);
        run_to_the_end();
        assert_all_unlocked();
        contended += entries;
        simulated_end();
    }
    assert_in_range(contended, SEEDS * 10, SEEDS * 20);
    assert_in_range(timeouts, SEEDS / 4, SEEDS * 10);
}

/* ---- deadlocks ---- */

/* Two mutexes in any order; who is refused lets go of both, makes room and tries again. */
static void take_in_any_order(void *unused)
{
    (void)unused;
    unsigned first = simulated_random(MUTEXES);
    unsigned second = simulated_random(MUTEXES);
    for (bool done = false; !done;) {
        GUARD(mutex, outer, &mutexes[first]);
        enter(first);
        simulated_yield();
        OWNED(mutex, inner);
        enum status status = mutex_lock_until(&mutexes[second], SLOT(inner), PARK_FOREVER);
        if (status == ERR_DEADLOCK) {
            simulated_assert(would_wait_for_itself(&mutexes[second], parking_self()));
            refusals++;
            done = first == second;
        } else {
            simulated_assert(status == OK && first != second);
            work(second);
            done = true;
        }
        leave(first);
        mutex_unlock(SLOT(outer));
        simulated_sleep(done ? 0 : 1 + simulated_random(20000));
    }
}

static void test_mutex_in_any_order_is_refused_exactly_where_nobody_could_go_on(void **state)
{
    (void)state;
    refusals = reports = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        forget();
        simulated_begin(&(struct simulated_options){.seed = seed});
        spawn_all(take_in_any_order);
        run_to_the_end();
        assert_all_unlocked();
        simulated_end();
    }
    assert_in_range(refusals, SEEDS, SEEDS * 10);
    assert_int_equal(reports, refusals);
}

static void want_next(void *number)
{
    unsigned i = *(const unsigned *)number;
    GUARD(mutex, outer, &mutexes[i]);
    simulated_sleep(1000);
    GUARD(mutex, inner, &mutexes[(i + 1) % MUTEXES]);
}

static void deadlock_of_three(void)
{
    static unsigned numbers[MUTEXES] = {0, 1, 2};
    simulated_begin(&(struct simulated_options){.seed = 1});
    for (unsigned i = 0; i < MUTEXES; i++) {
        simulated_spawn(names[i], 1, want_next, &numbers[i]);
    }
    (void)simulated_run();
}

static int log_end;

static void on_trap(int number)
{
    (void)number;
    _exit(write(log_end, logged, strlen(logged)) > 0 ? 42 : 1);
}

/* In a child: what is to trap traps. Its log comes back by a pipe. */
static void assert_traps(void (*function)(void), const char *const *expected, unsigned count)
{
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        log_end = pipe_ends[1];
        logged[0] = '\0';
        signal(SIGILL, on_trap);
        signal(SIGTRAP, on_trap);
        function();
        _exit(0);
    }
    close(pipe_ends[1]);
    char text[1024] = "";
    size_t length = 0;
    for (ssize_t got = 1; got > 0 && length < sizeof(text) - 1; length += (size_t)got) {
        got = read(pipe_ends[0], text + length, sizeof(text) - 1 - length);
        assert_true(got >= 0);
    }
    text[length] = '\0';
    close(pipe_ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    for (unsigned i = 0; i < count; i++) {
        if (!strstr(text, expected[i])) {
            fail_msg("the report lacks \"%s\":\n%s", expected[i], text);
        }
    }
}

static void test_mutex_deadlock_of_three_traps_and_names_all(void **state)
{
    (void)state;
    static const char *const expected[] = {"deadlock", "task zero wants mutex b",
                                           "task one wants mutex c", "task two wants mutex a"};
    assert_traps(deadlock_of_three, expected, ARRAY_COUNT(expected));
}

static void lock_twice(void)
{
    GUARD(mutex, once, &mutexes[0]);
    GUARD(mutex, twice, &mutexes[0]);
}

static void test_mutex_held_before_there_are_tasks_traps_and_says_so(void **state)
{
    (void)state;
    static const char *const expected[] = {"mutex a is held, and there are no tasks"};
    assert_traps(lock_twice, expected, ARRAY_COUNT(expected));
}

/* ---- kills ---- */

/* In ascending order, so nobody is refused. */
static void take_two_in_order(void *unused)
{
    (void)unused;
    unsigned first = simulated_random(MUTEXES - 1);
    GUARD(mutex, outer, &mutexes[first]);
    enter(first);
    simulated_yield();
    {
        OWNED(mutex, inner);
        enum status status =
            mutex_lock_until(&mutexes[first + 1], SLOT(inner),
                             simulated_random(2) ? PARK_FOREVER : parking_deadline(60));
        if (status == OK) {
            work(first + 1);
        } else {
            simulated_assert(status == ERR_TIMEOUT);
        }
    }
    leave(first);
}

static void test_mutex_killed_at_any_access_leaves_mutexes_to_others(void **state)
{
    (void)state;
    unsigned kills = 0;
    comparisons = 0;
    for (uint64_t seed = 0; seed < 12; seed++) {
        bool killed = true;
        for (uint64_t point = 0; killed; point++) {
            forget();
            simulated_begin(&(struct simulated_options){.seed = seed, .locks = seed & 1});
            spawn_all(take_two_in_order);
            simulated_kill_at(tasks[seed % TASKS], point);
            run_to_the_end();
            assert_all_unlocked();
            killed = simulated_was_killed(tasks[seed % TASKS]);
            kills += killed;
            simulated_end();
        }
    }
    assert_true(kills > 1000);
    assert_true(comparisons > 1000);
    print_message("%u kills, %u comparisons of priorities\n", kills, comparisons);
}

/* ---- order and priorities ---- */

static char order[16];
static size_t order_length;

static void take_and_note(void *unused)
{
    (void)unused;
    GUARD(mutex, held, &mutexes[0]);
    order[order_length++] = *parking_name(parking_self());
}

static void hold_for_long(void *unused)
{
    (void)unused;
    GUARD(mutex, held, &mutexes[0]);
    simulated_sleep(1000000);
}

static void wait_and_take(void *delay)
{
    simulated_sleep(*(const uint64_t *)delay);
    take_and_note(NULL);
}

static void test_mutex_is_handed_to_the_highest_and_then_to_the_oldest(void **state)
{
    (void)state;
    static uint64_t delays[] = {1000, 2000, 3000, 4000};
    for (uint64_t seed = 0; seed < 20; seed++) {
        memset(order, 0, sizeof(order));
        order_length = 0;
        simulated_begin(&(struct simulated_options){.seed = seed});
        simulated_spawn("holder", 1, hold_for_long, NULL);
        simulated_spawn("a", 2, wait_and_take, &delays[0]);
        simulated_spawn("b", 5, wait_and_take, &delays[1]);
        simulated_spawn("c", 2, wait_and_take, &delays[2]);
        simulated_spawn("d", 5, wait_and_take, &delays[3]);
        run_to_the_end();
        assert_string_equal(order, "bdac");
        simulated_end();
    }
}

/* Low holds a; middle holds b and waits for a; high waits for b; busy never waits. */
static void low(void *unused)
{
    (void)unused;
    GUARD(mutex, held, &mutexes[0]);
    simulated_sleep(100000);
    for (unsigned i = 0; i < 50; i++) {
        simulated_yield();
    }
}

static void middle(void *unused)
{
    (void)unused;
    simulated_sleep(10000);
    GUARD(mutex, outer, &mutexes[1]);
    GUARD(mutex, inner, &mutexes[0]);
}

static void high(void *unused)
{
    (void)unused;
    simulated_sleep(20000);
    GUARD(mutex, held, &mutexes[1]);
    order[order_length++] = 'h';
}

static void busy(void *unused)
{
    (void)unused;
    simulated_sleep(100000);
    for (unsigned i = 0; i < 500; i++) {
        simulated_yield();
    }
    order[order_length++] = 'b';
}

static void test_mutex_urgent_waiter_is_not_delayed_through_a_chain(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        memset(order, 0, sizeof(order));
        order_length = 0;
        simulated_begin(&(struct simulated_options){.seed = seed, .by_priority = true});
        struct task *last = simulated_spawn("low", 1, low, NULL);
        struct task *between = simulated_spawn("middle", 2, middle, NULL);
        simulated_spawn("busy", 5, busy, NULL);
        simulated_spawn("high", 9, high, NULL);
        run_to_the_end();
        assert_string_equal(order, "hb");
        assert_int_equal(simulated_lent(last), 0);
        assert_int_equal(simulated_lent(between), 0);
        simulated_end();
    }
}

static void wait_briefly(void *unused)
{
    (void)unused;
    simulated_sleep(100);
    OWNED(mutex, held);
    simulated_assert(mutex_lock_until(&mutexes[0], SLOT(held), parking_deadline(500)) ==
                     ERR_TIMEOUT);
    simulated_assert(simulated_lent(tasks[0]) == 3);
}

static void wait_longer(void *unused)
{
    (void)unused;
    simulated_sleep(200);
    OWNED(mutex, held);
    simulated_assert(mutex_lock_until(&mutexes[0], SLOT(held), parking_deadline(5000)) ==
                     ERR_TIMEOUT);
    simulated_assert(simulated_lent(tasks[0]) == 0);
}

static void test_mutex_priority_is_given_back_when_a_waiter_gives_up(void **state)
{
    (void)state;
    forget();
    simulated_begin(&(struct simulated_options){.seed = 7});
    tasks[0] = simulated_spawn("holder", 1, hold_for_long, NULL);
    simulated_spawn("urgent", 8, wait_briefly, NULL);
    simulated_spawn("normal", 3, wait_longer, NULL);
    run_to_the_end();
    simulated_end();
}

/* ---- before there are tasks ---- */

static void test_mutex_before_there_are_tasks_works_while_nobody_has_it(void **state)
{
    (void)state;
    assert_null(parking_self());
    {
        GUARD(mutex, held, &mutexes[0]);
        assert_true(mutex_is_held(&mutexes[0]));
        assert_true(mutex_is_mine(&mutexes[0]));
        OWNED(mutex, second);
        assert_false(mutex_try_lock(&mutexes[0], SLOT(second)));
        assert_int_equal(mutex_lock_until(&mutexes[0], SLOT(second), 0), ERR_DEADLOCK);
        assert_false(HELD(second));
    }
    assert_false(mutex_is_held(&mutexes[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mutex_before_there_are_tasks_works_while_nobody_has_it),
        cmocka_unit_test(test_mutex_held_before_there_are_tasks_traps_and_says_so),
        cmocka_unit_test(test_mutex_in_every_way_excludes_and_is_free_in_the_end),
        cmocka_unit_test(test_mutex_in_any_order_is_refused_exactly_where_nobody_could_go_on),
        cmocka_unit_test(test_mutex_deadlock_of_three_traps_and_names_all),
        cmocka_unit_test(test_mutex_killed_at_any_access_leaves_mutexes_to_others),
        cmocka_unit_test(test_mutex_is_handed_to_the_highest_and_then_to_the_oldest),
        cmocka_unit_test(test_mutex_urgent_waiter_is_not_delayed_through_a_chain),
        cmocka_unit_test(test_mutex_priority_is_given_back_when_a_waiter_gives_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
