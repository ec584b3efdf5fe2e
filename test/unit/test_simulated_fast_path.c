/* SPDX-License-Identifier: MIT */
/*
 * A caller and a server in random order, with deadlines, each killed at random points: is each call
 * answered by its own reply, exactly once, and does the other always find out?
 */
#include "fast_path.h"
#include "heap.h"
#include "simulated_tasks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEEDS 1500u /* THEORIS_SEEDS in the environment: more */
#define CALLS 8u

FAST_PATH_DEFINE(square, uint32_t, uint64_t);

static void *block; /* there is one at a time */
static bool is_memory_out;

void *heap_allocate(size_t bytes)
{
    return is_memory_out ? NULL : (block = malloc(bytes));
}

void *heap_allocate_zeroed(size_t bytes)
{
    return is_memory_out ? NULL : (block = calloc(1, bytes));
}

void heap_free(void *freed)
{
    simulated_assert(freed == block);
    free(block);
    block = NULL;
}

static bool free_lost_block(void)
{
    bool is_lost = block != NULL;
    free(block);
    block = NULL;
    return is_lost;
}

static struct {
    uint64_t seed;
    bool may_time_out;
    bool may_pause; /* the server replies and receives by two calls */
    struct square_caller *caller;
    struct square_server *server;
    struct task *tasks[2];
    unsigned answered;
    unsigned served[CALLS + 1]; /* how often each request was received */
    enum status ended[2];
} run;

static uint64_t random_deadline(void)
{
    return run.may_time_out && simulated_random(2) ? parking_deadline(simulated_random(80))
                                                   : PARK_FOREVER;
}

static void run_caller(void *unused)
{
    (void)unused;
    OWNED(square_caller, caller);
    LOAD(caller, run.caller);
    for (uint32_t i = 1; i <= CALLS; i++) {
        uint64_t reply = 0;
        enum status status = square_call_until(REF(caller), &i, &reply, random_deadline());
        if (status == OK) {
            simulated_assert(reply == (uint64_t)i * i);
            run.answered++;
        } else if (status == ERR_CLOSED) {
            run.ended[0] = status;
            return;
        } else {
            simulated_assert(status == ERR_TIMEOUT && run.may_time_out);
        }
    }
}

static void note_request(uint32_t number)
{
    simulated_assert(number >= 1 && number <= CALLS);
    simulated_assert(run.served[number] == 0);
    for (uint32_t later = number; later <= CALLS; later++) {
        simulated_assert(run.served[later] == 0);
    }
    run.served[number]++;
}

static enum status answer(struct square_server *server, uint64_t *reply, uint32_t *number)
{
    if (!run.may_pause || simulated_random(2)) {
        return square_reply_and_receive(server, reply, number);
    }
    enum status status = square_reply(server, reply);
    simulated_assert(status == OK || status == ERR_CLOSED ||
                     (status == ERR_STATE && run.may_time_out));
    do {
        status = square_receive_until(server, number, random_deadline());
    } while (status == ERR_TIMEOUT);
    return status;
}

static void run_server(void *unused)
{
    (void)unused;
    OWNED(square_server, server);
    LOAD(server, run.server);
    uint32_t number = 0;
    enum status status = square_receive(REF(server), &number);
    while (status == OK) {
        note_request(number);
        uint64_t reply = (uint64_t)number * number;
        status = answer(REF(server), &reply, &number);
    }
    simulated_assert(status == ERR_CLOSED);
    run.ended[1] = status;
}

static void begin_run(uint64_t seed)
{
    simulated_begin(&(struct simulated_options){.seed = seed, .locks = true});
    run = (__typeof__(run)){.seed = seed};
    run.may_time_out = simulated_random(2);
    run.may_pause = simulated_random(2);
    OWNED(square_caller, caller);
    OWNED(square_server, server);
    assert_int_equal(square_fast_path_create(SLOT(caller), SLOT(server)), OK);
    STORE(run.caller, caller);
    STORE(run.server, server);
    run.tasks[0] = simulated_spawn("caller", 1, run_caller, NULL);
    run.tasks[1] = simulated_spawn("server", 1, run_server, NULL);
}

/* Who is killed before it has its end leaves that to us. */
static void finish_run(void)
{
    enum simulated_result result = simulated_run();
    bool is_left = run.caller || run.server;
    square_caller_drop(&run.caller);
    square_server_drop(&run.server);
    if (result == SIMULATED_DEADLOCK && is_left) {
        result = simulated_run();
    }
    if (result != SIMULATED_DONE) {
        simulated_report();
        fail_msg("seed %llu: result %d", (unsigned long long)run.seed, (int)result);
    }
}

static unsigned seeds(void)
{
    const char *wanted = getenv("THEORIS_SEEDS");
    return wanted ? (unsigned)strtoul(wanted, NULL, 10) : SEEDS;
}

static void test_fast_path_in_any_order_answers_each_call_once(void **state)
{
    (void)state;
    unsigned timeouts = 0;
    for (uint64_t seed = 0; seed < seeds(); seed++) {
        begin_run(seed);
        finish_run();
        assert_true(run.may_time_out || run.answered == CALLS);
        assert_int_equal(run.ended[0], OK);
        assert_int_equal(run.ended[1], ERR_CLOSED);
        timeouts += CALLS - run.answered;
        simulated_end();
        assert_false(free_lost_block());
    }
    assert_true(timeouts > seeds() / 10);
}

static void test_fast_path_whose_users_are_killed_tells_the_other(void **state)
{
    (void)state;
    unsigned lost = 0;
    unsigned deaths[2] = {0};
    for (uint64_t seed = 0; seed < seeds(); seed++) {
        begin_run(seed);
        simulated_kill_at(run.tasks[simulated_random(2)], simulated_random(300));
        if (simulated_random(3) == 0) {
            simulated_kill_at(run.tasks[simulated_random(2)], simulated_random(300));
        }
        finish_run();
        bool killed[2] = {simulated_was_killed(run.tasks[0]), simulated_was_killed(run.tasks[1])};
        deaths[0] += killed[0];
        deaths[1] += killed[1];
        assert_true(killed[1] || run.ended[1] == ERR_CLOSED);
        assert_true(killed[0] || killed[1] || run.may_time_out || run.answered == CALLS);
        simulated_end();
        lost += free_lost_block();
    }
    printf("%u callers and %u servers killed, memory was lost in %u runs\n", deaths[0], deaths[1],
           lost);
    assert_true(deaths[0] > seeds() / 5 && deaths[1] > seeds() / 5);
    assert_in_range(lost, 0, seeds() / 50); /* fast_path.h: between the last two stores */
}

static void test_fast_path_ends_belong_to_one_task(void **state)
{
    (void)state;
    OWNED(square_caller, caller);
    OWNED(square_server, server);
    is_memory_out = true;
    assert_int_equal(square_fast_path_create(SLOT(caller), SLOT(server)), ERR_NO_MEMORY);
    is_memory_out = false;
    assert_int_equal(square_fast_path_create(SLOT(caller), SLOT(server)), OK);
    uint32_t number = 3;
    uint64_t reply = 7;
    assert_int_equal(square_call(REF(caller), &number, &reply), ERR_STATE);
    assert_int_equal(square_receive(REF(server), &number), ERR_STATE);
    assert_int_equal(square_reply(REF(server), &reply), ERR_STATE);
    assert_int_equal(reply, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fast_path_in_any_order_answers_each_call_once),
        cmocka_unit_test(test_fast_path_whose_users_are_killed_tells_the_other),
        cmocka_unit_test(test_fast_path_ends_belong_to_one_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
