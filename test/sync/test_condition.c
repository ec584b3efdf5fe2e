/* SPDX-License-Identifier: MIT */
/* Conditions: a bounded buffer, in many orders, with timeouts and killed consumers. */
#include "condition.h"
#include "simulated_tasks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define CAPACITY  2
#define PRODUCERS 2
#define CONSUMERS 3
#define ITEMS     6 /* of each producer */
#define SEEDS     100

static struct buffer {
    struct mutex mutex;
    struct condition not_empty;
    struct condition not_full;
    unsigned items[CAPACITY]; /* 0: none */
    unsigned count;
} buffer;

static unsigned sent;
static unsigned sum_sent;
static unsigned received;
static unsigned sum_received;
static unsigned timeouts;

/* The drop of who changed the state wakes: who is killed between the two has woken. */
struct OWN_CAPABILITY("change") change;
OWN_DECLARE(change);

void change_drop(struct change **handle)
{
    if (*handle) {
        (void)condition_wake_one((struct condition *)*handle);
        EMPTY(handle);
    }
}

static void produce(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < ITEMS; i++) {
        GUARD(mutex, held, &buffer.mutex);
        while (buffer.count == CAPACITY) {
            simulated_assert(condition_wait(&buffer.not_full, SLOT(held), PARK_FOREVER) == OK);
            simulated_assert(mutex_is_mine(&buffer.mutex));
        }
        OWNED(change, change);
        FILL(SLOT(change), (struct change *)&buffer.not_empty);
        buffer.items[buffer.count++] = ++sent;
        sum_sent += sent;
    }
}

static bool take_item(uint64_t deadline)
{
    GUARD(mutex, held, &buffer.mutex);
    while (!buffer.count) {
        enum status status = condition_wait(&buffer.not_empty, SLOT(held), deadline);
        simulated_assert(mutex_is_mine(&buffer.mutex));
        if (status != OK && !buffer.count) {
            simulated_assert(status == ERR_TIMEOUT);
            timeouts++;
            return false;
        }
    }
    OWNED(change, change);
    FILL(SLOT(change), (struct change *)&buffer.not_full);
    sum_received += buffer.items[--buffer.count];
    received++;
    return true;
}

static void consume(void *unused)
{
    (void)unused;
    while (received < PRODUCERS * ITEMS) {
        (void)take_item(parking_deadline(simulated_random(2000)));
    }
}

static void spawn_all(struct task **victim)
{
    memset(&buffer, 0, sizeof(buffer));
    sent = sum_sent = received = sum_received = timeouts = 0;
    for (unsigned i = 0; i < PRODUCERS; i++) {
        simulated_spawn("producer", 1, produce, NULL);
    }
    for (unsigned i = 0; i < CONSUMERS; i++) {
        *victim = simulated_spawn("consumer", 1, consume, NULL);
    }
}

static void run_and_check(void)
{
    if (simulated_run() != SIMULATED_DONE) {
        simulated_fail(__FILE__, __LINE__, "a wake-up was lost");
    }
    simulated_assert(sent == PRODUCERS * ITEMS);
    simulated_assert(sum_received == sum_sent);
    simulated_assert(!buffer.count);
    simulated_assert(!mutex_is_held(&buffer.mutex));
    simulated_assert(!buffer.not_empty.waiters.first && !buffer.not_full.waiters.first);
}

static void test_condition_buffer_delivers_all_items_once(void **state)
{
    (void)state;
    unsigned all_timeouts = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct task *task;
        simulated_begin(&(struct simulated_options){.seed = seed, .locks = seed & 1});
        spawn_all(&task);
        run_and_check();
        all_timeouts += timeouts;
        simulated_end();
    }
    assert_true(all_timeouts > 10);
}

static void test_condition_killed_consumer_loses_no_item_and_no_wake_up(void **state)
{
    (void)state;
    unsigned kills = 0;
    for (uint64_t seed = 0; seed < 4; seed++) {
        bool killed = true;
        for (uint64_t point = 0; killed; point += 29) {
            struct task *victim;
            simulated_begin(&(struct simulated_options){.seed = seed + point});
            spawn_all(&victim);
            simulated_kill_at(victim, point);
            run_and_check();
            killed = simulated_was_killed(victim);
            kills += killed;
            simulated_end();
        }
    }
    print_message("%u kills\n", kills);
    assert_true(kills > 100);
}

static void wait_for_all(void *unused)
{
    (void)unused;
    GUARD(mutex, held, &buffer.mutex);
    received++;
    while (!sent) {
        simulated_assert(condition_wait(&buffer.not_empty, SLOT(held), PARK_FOREVER) == OK);
    }
    received--;
}

static void wake_everybody(void *unused)
{
    (void)unused;
    simulated_sleep(100000);
    GUARD(mutex, held, &buffer.mutex);
    simulated_assert(received == 4);
    sent = 1;
    simulated_assert(condition_wake_all(&buffer.not_empty) == 4);
    simulated_assert(condition_wake_all(&buffer.not_empty) == 0);
    simulated_assert(!condition_wake_one(&buffer.not_empty));
}

static void test_condition_wake_all_wakes_all(void **state)
{
    (void)state;
    memset(&buffer, 0, sizeof(buffer));
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        sent = received = 0;
        simulated_begin(&(struct simulated_options){.seed = seed});
        for (unsigned i = 0; i < 4; i++) {
            simulated_spawn("waiter", 1 + i, wait_for_all, NULL);
        }
        simulated_spawn("waker", 1, wake_everybody, NULL);
        assert_int_equal(simulated_run(), SIMULATED_DONE);
        assert_int_equal(received, 0);
        simulated_end();
    }
}

static void test_condition_before_there_are_tasks_says_so_and_keeps_the_mutex(void **state)
{
    (void)state;
    memset(&buffer, 0, sizeof(buffer));
    GUARD(mutex, held, &buffer.mutex);
    assert_int_equal(condition_wait(&buffer.not_empty, SLOT(held), PARK_FOREVER), ERR_STATE);
    assert_true(HELD(held));
    assert_true(mutex_is_mine(&buffer.mutex));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_condition_before_there_are_tasks_says_so_and_keeps_the_mutex),
        cmocka_unit_test(test_condition_buffer_delivers_all_items_once),
        cmocka_unit_test(test_condition_killed_consumer_loses_no_item_and_no_wake_up),
        cmocka_unit_test(test_condition_wake_all_wakes_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
