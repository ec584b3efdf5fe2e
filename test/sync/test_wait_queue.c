/* SPDX-License-Identifier: MIT */
/* Queues of waiters, with which everything else waits: by turns, with timeouts and kills. */
#include "simulated_tasks.h"
#include "wait_queue.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SEEDS 200

static struct spinlock queue_lock = {.name = "queue"};
static struct wait_queue queue;
static unsigned tokens;
static unsigned taken;

/* As wait_queue.h asks for: by state, and the wake-up that one could not use is handed on. */
static void take_token(void *unused)
{
    (void)unused;
    static const struct parking_reason reason = {.what = "token"};
    GUARD(spinlock, held, &queue_lock);
    while (!tokens) {
        simulated_assert(wait_queue_wait(&queue, SLOT(held), PARK_FOREVER, &reason, NULL) == OK);
    }
    tokens--;
    taken++;
}

static void give_tokens(void *count)
{
    for (unsigned i = 0; i < *(const unsigned *)count; i++) {
        GUARD(spinlock, held, &queue_lock);
        tokens++;
        wait_queue_wake_all(&queue);
    }
}

static void test_wait_queue_every_token_is_taken_once(void **state)
{
    (void)state;
    static const unsigned count = 4;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        tokens = taken = 0;
        simulated_begin(&(struct simulated_options){.seed = seed, .locks = true});
        for (unsigned i = 0; i < count; i++) {
            simulated_spawn("taker", 1, take_token, NULL);
        }
        simulated_spawn("giver", 1, give_tokens, (void *)&count);
        if (simulated_run() != SIMULATED_DONE) {
            simulated_fail(__FILE__, __LINE__, "a wake-up was lost");
        }
        assert_int_equal(tokens, 0);
        assert_int_equal(taken, count);
        assert_null(queue.first);
        simulated_end();
    }
}

static void wait_for_token_briefly(void *status)
{
    static const struct parking_reason reason = {.what = "token"};
    GUARD(spinlock, held, &queue_lock);
    uint64_t deadline = parking_deadline(10);
    enum status result = OK;
    while (!tokens && result == OK) {
        result = wait_queue_wait(&queue, SLOT(held), deadline, &reason, NULL);
    }
    if (tokens) {
        tokens--;
        taken++;
        result = OK;
    }
    *(enum status *)status = result;
}

static void test_wait_queue_timeout_and_token_race_and_nothing_is_lost(void **state)
{
    (void)state;
    static const unsigned count = 1;
    unsigned timeouts = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        enum status status = ERR_FAILED;
        tokens = taken = 0;
        simulated_begin(&(struct simulated_options){.seed = seed, .locks = true});
        simulated_spawn("waiter", 1, wait_for_token_briefly, &status);
        simulated_spawn("giver", 1, give_tokens, (void *)&count);
        assert_int_equal(simulated_run(), SIMULATED_DONE);
        assert_true(status == OK || status == ERR_TIMEOUT);
        assert_int_equal(taken, status == OK);
        assert_int_equal(tokens, status != OK);
        assert_null(queue.first);
        timeouts += status != OK;
        simulated_end();
    }
    assert_in_range(timeouts, 1, SEEDS - 1);
}

static void test_wait_queue_killed_waiters_leave_and_others_go_on(void **state)
{
    (void)state;
    static const unsigned count = 2;
    for (uint64_t seed = 0; seed < 20; seed++) {
        bool killed = true;
        for (uint64_t point = 0; killed; point++) {
            tokens = taken = 0;
            simulated_begin(&(struct simulated_options){.seed = seed, .locks = true});
            struct task *victim = simulated_spawn("victim", 1, take_token, NULL);
            simulated_spawn("taker", 1, take_token, NULL);
            simulated_spawn("giver", 1, give_tokens, (void *)&count);
            simulated_kill_at(victim, point);
            if (simulated_run() != SIMULATED_DONE) {
                simulated_fail(__FILE__, __LINE__, "a wake-up was lost");
            }
            assert_int_equal(tokens + taken, count);
            assert_null(queue.first);
            assert_false(spinlock_is_held(&queue_lock));
            killed = simulated_was_killed(victim);
            simulated_end();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait_queue_every_token_is_taken_once),
        cmocka_unit_test(test_wait_queue_timeout_and_token_race_and_nothing_is_lost),
        cmocka_unit_test(test_wait_queue_killed_waiters_leave_and_others_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
