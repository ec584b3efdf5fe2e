/* SPDX-License-Identifier: MIT */
/* Reader-writer locks, in many orders: who is inside together, who goes in first, who is killed. */
#include "reader_writer_lock.h"
#include "simulated_tasks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TASKS 5
#define SEEDS 100

static struct reader_writer_lock lock = {.lock = {.name = "test"}};
static struct task *tasks[TASKS];

/* What is known without the lock: how many are inside. A killed one counts as out. */
static bool reads[TASKS];
static bool writes[TASKS];
static unsigned most_readers;
static unsigned timeouts;

static unsigned self_index(void)
{
    unsigned i = 0;
    while (tasks[i] != parking_self()) {
        i++;
    }
    return i;
}

static void check_inside(void)
{
    unsigned readers = 0;
    unsigned writers = 0;
    for (unsigned i = 0; i < TASKS; i++) {
        bool out = tasks[i] && simulated_was_killed(tasks[i]);
        readers += !out && reads[i];
        writers += !out && writes[i];
    }
    simulated_assert(writers == 0 || (writers == 1 && readers == 0));
    simulated_assert(reader_writer_lock_readers(&lock) >= readers);
    simulated_assert(!writers || reader_writer_lock_is_written(&lock));
    most_readers = readers > most_readers ? readers : most_readers;
}

static void stay_inside(void)
{
    for (unsigned i = 0; i < 4; i++) {
        check_inside();
        simulated_yield();
    }
    check_inside();
}

static void read_once(unsigned self, uint64_t deadline)
{
    OWNED(read_side, held);
    if (read_side_lock_until(&lock.read, SLOT(held), deadline) != OK) {
        simulated_assert(!HELD(held));
        timeouts++;
        return;
    }
    reads[self] = true;
    stay_inside();
    reads[self] = false;
}

static void write_once(unsigned self, uint64_t deadline)
{
    OWNED(write_side, held);
    if (write_side_lock_until(&lock.write, SLOT(held), deadline) != OK) {
        simulated_assert(!HELD(held));
        timeouts++;
        return;
    }
    writes[self] = true;
    stay_inside();
    writes[self] = false;
}

static uint64_t any_deadline(void)
{
    switch (simulated_random(3)) {
    case 0:
        return 0;
    case 1:
        return parking_deadline(simulated_random(100));
    default:
        return PARK_FOREVER;
    }
}

static void read_and_write(void *unused)
{
    (void)unused;
    for (unsigned round = 0; round < 3; round++) {
        if (simulated_random(3)) {
            read_once(self_index(), any_deadline());
        } else {
            write_once(self_index(), any_deadline());
        }
    }
}

static void run_all(void)
{
    static const char *const names[TASKS] = {"zero", "one", "two", "three", "four"};
    memset(reads, 0, sizeof(reads));
    memset(writes, 0, sizeof(writes));
    memset(tasks, 0, sizeof(tasks));
    for (unsigned i = 0; i < TASKS; i++) {
        tasks[i] = simulated_spawn(names[i], 1, read_and_write, NULL);
    }
}

static void run_to_the_end(void)
{
    if (simulated_run() != SIMULATED_DONE) {
        simulated_fail(__FILE__, __LINE__, "tasks are left");
    }
    simulated_assert(reader_writer_lock_readers(&lock) == 0);
    simulated_assert(!reader_writer_lock_is_written(&lock));
    simulated_assert(!wait_queue_first(&lock.waiters));
    simulated_assert(!spinlock_is_held(&lock.lock));
}

static void test_reader_writer_lock_many_read_or_one_writes(void **state)
{
    (void)state;
    most_readers = timeouts = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        simulated_begin(&(struct simulated_options){.seed = seed, .locks = seed & 1});
        run_all();
        run_to_the_end();
        simulated_end();
    }
    assert_true(most_readers >= 3);
    assert_in_range(timeouts, SEEDS, SEEDS * 10);
}

static void test_reader_writer_lock_killed_at_any_access_lets_others_on(void **state)
{
    (void)state;
    unsigned kills = 0;
    for (uint64_t seed = 0; seed < 5; seed++) {
        bool killed = true;
        for (uint64_t point = 0; killed; point++) {
            simulated_begin(&(struct simulated_options){.seed = seed, .locks = seed & 1});
            run_all();
            simulated_kill_at(tasks[seed % TASKS], point);
            run_to_the_end();
            killed = simulated_was_killed(tasks[seed % TASKS]);
            kills += killed;
            simulated_end();
        }
    }
    print_message("%u kills\n", kills);
    assert_true(kills > 1000);
}

/* ---- who goes in first ---- */

static char order[16];
static size_t order_length;

static void hold_for_long(void *unused)
{
    (void)unused;
    GUARD(write_side, held, &lock.write);
    simulated_sleep(5000000);
}

/* An upper-case name writes; the delay is where it stands in the alphabet. */
static void come_in_turn(void *unused)
{
    (void)unused;
    char name = *parking_name(parking_self());
    simulated_sleep((uint64_t)(name | 0x20) * 10000);
    if (name & 0x20) {
        GUARD(read_side, held, &lock.read);
        order[order_length++] = name;
        simulated_sleep(1000);
        order[order_length++] = '.';
    } else {
        GUARD(write_side, held, &lock.write);
        order[order_length++] = name;
        simulated_sleep(1000);
        order[order_length++] = '.';
    }
}

static void test_reader_writer_lock_nobody_overtakes_and_neighbours_read_together(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "C", "d", "E", "F", "g"};
    for (uint64_t seed = 0; seed < 50; seed++) {
        memset(order, 0, sizeof(order));
        order_length = 0;
        simulated_begin(&(struct simulated_options){.seed = seed});
        simulated_spawn("holder", 1, hold_for_long, NULL);
        for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
            simulated_spawn(names[i], 1, come_in_turn, NULL);
        }
        run_to_the_end();
        if (order[0] == 'b') { /* which of two that read together says so first does not matter */
            order[0] = 'a';
            order[1] = 'b';
        }
        assert_string_equal(order, "ab..C.d.E.F.g.");
        simulated_end();
    }
}

static void test_reader_writer_lock_before_there_are_tasks_works_without_waiting(void **state)
{
    (void)state;
    {
        GUARD(read_side, held, &lock.read);
        GUARD(read_side, held_too, &lock.read);
        assert_int_equal(reader_writer_lock_readers(&lock), 2);
        OWNED(write_side, refused);
        assert_int_equal(write_side_lock_until(&lock.write, SLOT(refused), 0), ERR_TIMEOUT);
        assert_int_equal(write_side_lock_until(&lock.write, SLOT(refused), PARK_FOREVER),
                         ERR_STATE);
        assert_false(HELD(refused));
    }
    {
        GUARD(write_side, held, &lock.write);
        OWNED(read_side, refused);
        assert_int_equal(read_side_lock_until(&lock.read, SLOT(refused), 0), ERR_TIMEOUT);
        assert_true(reader_writer_lock_is_written(&lock));
    }
    assert_int_equal(reader_writer_lock_readers(&lock), 0);
    assert_false(reader_writer_lock_is_written(&lock));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reader_writer_lock_before_there_are_tasks_works_without_waiting),
        cmocka_unit_test(test_reader_writer_lock_many_read_or_one_writes),
        cmocka_unit_test(test_reader_writer_lock_killed_at_any_access_lets_others_on),
        cmocka_unit_test(test_reader_writer_lock_nobody_overtakes_and_neighbours_read_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
