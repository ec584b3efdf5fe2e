/* SPDX-License-Identifier: MIT */
/*
 * Works that several push at once, a task that does them and is killed at random points, and drops
 * in between: is each push answered by a call that began after it, and none after its work is
 * dropped?
 *
 * In place of tasks and faults stand simulated ones: task_spawn() below spawns a simulated task,
 * and what a function says to have been a fault is one.
 */
#include "catch.h"
#include "deferred.h"
#include "heap.h"
#include "logger.h"
#include "simulated_tasks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS      500u /* THEORIS_SEEDS in the environment: more */
#define WORKS      2u
#define PUSHERS    2u /* of both works */
#define PUSHES     6u /* of each, of each work */
#define BLOCKS_MAX 16u

/* ---- what stands for memory, tasks, faults and the log ---- */

static void *blocks[BLOCKS_MAX];
static unsigned allocations_left;

void *heap_allocate_zeroed(size_t bytes)
{
    if (allocations_left == 0) {
        return NULL;
    }
    allocations_left--;
    unsigned i = 0;
    while (blocks[i]) {
        i++;
        simulated_assert(i < BLOCKS_MAX);
    }
    return blocks[i] = calloc(1, bytes);
}

void *heap_allocate(size_t bytes)
{
    return heap_allocate_zeroed(bytes);
}

void heap_free(void *block)
{
    unsigned i = 0;
    while (blocks[i] != block) {
        i++;
        simulated_assert(i < BLOCKS_MAX); /* else it was freed twice */
    }
    blocks[i] = NULL;
    free(block);
}

static unsigned free_lost_blocks(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < BLOCKS_MAX; i++) {
        count += blocks[i] != NULL;
        free(blocks[i]);
        blocks[i] = NULL;
    }
    return count;
}

struct fake_task {
    struct task *task;
    const struct task_plan *plan;
    void *argument;
    int result;
};

static struct {
    struct fake_task fakes[SIMULATED_TASKS_MAX];
    unsigned fake_count;
    bool is_fault; /* what the function that just returned says of itself */
    unsigned given_up;
    enum status spawn_status;
    struct deferred_queue *queue;
    struct deferred_work *works[WORKS];
    bool is_dropped[WORKS];
    bool is_closing;
    uint64_t pushed[WORKS]; /* as those who push count it, before */
    uint64_t done[WORKS];
    unsigned calls;
    unsigned pushers_left;
    unsigned kills;
    unsigned failures_wanted; /* calls that fail from now on */
} run;

static void run_fake(void *argument)
{
    struct fake_task *fake = argument;
    fake->plan->run(&fake->argument, &fake->result);
}

enum status task_spawn(const struct task_plan *plan, const void *argument,
                       const struct task_options *options, struct task_handle **out) OWN_UNCHECKED
{
    (void)options;
    if (run.spawn_status != OK) {
        return run.spawn_status;
    }
    struct fake_task *fake = &run.fakes[run.fake_count++];
    fake->plan = plan;
    memcpy(&fake->argument, argument, plan->argument_size);
    fake->task = simulated_spawn("drainer", 1, run_fake, fake);
    FILL(out, (struct task_handle *)fake);
    return OK;
}

enum status task_wait(struct task_handle *handle, uint64_t deadline)
{
    const struct fake_task *fake = (const struct fake_task *)handle;
    while (!simulated_has_ended(fake->task)) {
        if (deadline == 0) {
            return ERR_TIMEOUT;
        }
        simulated_yield();
    }
    return OK;
}

void task_handle_drop(struct task_handle **handle)
{
    if (*handle) {
        EMPTY(handle);
    }
}

enum status catch_unwind(void (*function)(void *argument), void *argument,
                         struct catch_reason *out_reason)
{
    (void)out_reason;
    run.is_fault = false;
    function(argument);
    return run.is_fault ? ERR_FAULT : OK;
}

void logger_write(enum log_level level, const char *cell, const char *format, ...)
{
    (void)cell;
    (void)format;
    run.given_up += level == LOG_ERROR;
}

/* ---- works ---- */

static enum status do_work(void *context, uint64_t pushes)
{
    unsigned number = (unsigned)((uint64_t *)context - run.done);
    simulated_assert(number < WORKS && pushes >= 1);
    simulated_assert(!run.is_dropped[number]);
    simulated_assert(run.kills || run.done[number] + pushes <= run.pushed[number]);
    run.calls++;
    simulated_yield();
    simulated_assert(!run.is_dropped[number]);
    if (run.failures_wanted) {
        run.failures_wanted--;
        run.is_fault = simulated_random(2);
        return ERR_IO;
    }
    run.done[number] += pushes;
    return OK;
}

static void run_pusher(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < PUSHES; i++) {
        for (unsigned work = 0; work < WORKS; work++) {
            run.pushed[work]++;
            enum status status = deferred_work_push(run.works[work]);
            simulated_assert(status == OK || (run.is_closing && status == ERR_CLOSED));
            simulated_yield();
        }
    }
    run.pushers_left--;
}

static void drop_works(void)
{
    for (unsigned i = 0; i < WORKS; i++) {
        deferred_work_drop(&run.works[i]);
        run.is_dropped[i] = true;
    }
}

/* Drops everything when nobody pushes any more: the works first, or the queue. */
static void run_owner(void *unused)
{
    (void)unused;
    bool queue_first = simulated_random(2);
    while (run.pushers_left) {
        simulated_yield();
    }
    struct task *drainer = run.fakes[run.fake_count - 1].task;
    simulated_kill_at(drainer, UINT64_MAX);
    while (simulated_was_killed(drainer) && !simulated_has_ended(drainer)) {
        simulated_yield();
    }
    enum status status = deferred_queue_restart(run.queue, NULL);
    simulated_assert(status == (simulated_was_killed(drainer) ? OK : ERR_STATE));
    if (queue_first) {
        deferred_queue_drop(&run.queue);
    }
    drop_works();
    deferred_queue_drop(&run.queue);
}

static void begin_run(uint64_t seed)
{
    simulated_begin(&(struct simulated_options){.seed = seed, .locks = true});
    memset(&run, 0, sizeof(run));
    allocations_left = 100;
    OWNED(deferred_queue, queue);
    assert_int_equal(deferred_queue_create("test", NULL, SLOT(queue)), OK);
    STORE(run.queue, queue);
    for (unsigned i = 0; i < WORKS; i++) {
        assert_int_equal(deferred_work_create(run.queue, do_work, &run.done[i], &run.works[i]), OK);
    }
}

static void spawn_pushers(void)
{
    run.pushers_left = PUSHERS;
    for (unsigned i = 0; i < PUSHERS; i++) {
        simulated_spawn(i ? "pusher 1" : "pusher 0", 1, run_pusher, NULL);
    }
}

static void demand_done(uint64_t seed, enum simulated_result result)
{
    if (result != SIMULATED_DONE) {
        simulated_report();
        fail_msg("seed %llu: result %d", (unsigned long long)seed, (int)result);
    }
}

static unsigned seeds(void)
{
    const char *wanted = getenv("THEORIS_SEEDS");
    return wanted ? (unsigned)strtoul(wanted, NULL, 10) : SEEDS;
}

static void test_deferred_in_any_order_answers_each_push_once(void **state)
{
    (void)state;
    unsigned calls = 0;
    for (uint64_t seed = 0; seed < seeds(); seed++) {
        begin_run(seed);
        spawn_pushers();
        simulated_spawn("owner", 1, run_owner, NULL);
        demand_done(seed, simulated_run());
        for (unsigned i = 0; i < WORKS; i++) {
            assert_int_equal(run.done[i], PUSHERS * PUSHES);
        }
        calls += run.calls;
        simulated_end();
        assert_int_equal(free_lost_blocks(), 0);
    }
    /* Some calls answer several pushes, else nothing was pushed while it was queued. */
    assert_true(calls > seeds() && calls < seeds() * WORKS * PUSHERS * PUSHES);
}

/* ---- kills ---- */

/* Gives the queue another task when the last one was killed, twice; then drops everything. */
static void supervise(void *unused)
{
    for (unsigned i = 0; i < DEFERRED_ATTEMPTS - 1; i++) {
        while (run.pushers_left && !simulated_has_ended(run.fakes[i].task)) {
            simulated_yield();
        }
        if (!simulated_has_ended(run.fakes[i].task)) {
            break;
        }
        enum status status = deferred_queue_restart(run.queue, NULL);
        simulated_assert(status == OK);
        if (i == 0 && simulated_random(2)) {
            run.kills++;
            simulated_kill_at(run.fakes[1].task, simulated_random(150));
        }
    }
    /* Whoever was to be killed, and was not by now, is not. */
    while (run.pushers_left || run.done[0] < run.pushed[0] || run.done[1] < run.pushed[1]) {
        unsigned last = run.fake_count - 1;
        if (simulated_has_ended(run.fakes[last].task)) {
            enum status status = deferred_queue_restart(run.queue, NULL);
            simulated_assert(status == OK);
        }
        simulated_yield();
    }
    (void)unused;
}

static void test_deferred_whose_task_is_killed_loses_nothing(void **state)
{
    (void)state;
    unsigned again = 0;
    unsigned killed = 0;
    unsigned losses = 0;
    for (uint64_t seed = 0; seed < seeds(); seed++) {
        begin_run(seed);
        spawn_pushers();
        run.kills = 1;
        simulated_kill_at(run.fakes[0].task, simulated_random(350));
        simulated_spawn("supervisor", 1, supervise, NULL);
        enum simulated_result result = simulated_run();
        if (result == SIMULATED_DEADLOCK) {
            /*
             * The task of the queue waits, and nobody else is left: that is the end of a good run.
             */
            for (unsigned i = 0; i < WORKS; i++) {
                assert_true(run.done[i] >= PUSHERS * PUSHES);
            }
            result = SIMULATED_DONE;
        }
        demand_done(seed, result);
        assert_int_equal(run.given_up, 0);
        for (unsigned i = 0; i < WORKS; i++) {
            assert_true(run.done[i] >= PUSHERS * PUSHES);
            again += run.done[i] > PUSHERS * PUSHES;
            assert_int_equal(deferred_work_failures(run.works[i]), 0);
        }
        killed += run.fake_count > 1;
        simulated_spawn("owner", 1, run_owner, NULL);
        result = simulated_run();
        demand_done(seed, result);
        simulated_end();
        losses += free_lost_blocks() != 0;
    }
    printf("%u works done again, the task killed in %u of %u runs, memory lost in %u\n", again,
           killed, seeds(), losses);
    assert_true(again > 0 && killed > seeds() / 4);
    assert_in_range(losses, 0, seeds() / 20);
}

/* ---- failures ---- */

static void push_and_wait(void *unused)
{
    (void)unused;
    run.pushed[0]++;
    simulated_assert(deferred_work_push(run.works[0]) == OK);
    drop_works();
    deferred_queue_drop(&run.queue);
}

static void test_deferred_work_that_fails_is_called_again(void **state)
{
    (void)state;
    for (unsigned failures = 0; failures <= DEFERRED_ATTEMPTS; failures++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            begin_run(seed);
            run.failures_wanted = failures;
            bool is_given_up = failures >= DEFERRED_ATTEMPTS;
            simulated_spawn("owner", 1, push_and_wait, NULL);
            demand_done(seed, simulated_run());
            assert_int_equal(run.calls, is_given_up ? DEFERRED_ATTEMPTS : failures + 1);
            assert_int_equal(run.done[0], !is_given_up);
            assert_int_equal(run.given_up, is_given_up);
            simulated_end();
            assert_int_equal(free_lost_blocks(), 0);
        }
    }
}

static void push_again(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < 2; i++) {
        run.pushed[0]++;
        simulated_assert(deferred_work_push(run.works[0]) == OK);
        while (run.done[0] + deferred_work_failures(run.works[0]) < run.pushed[0]) {
            simulated_yield();
        }
    }
    simulated_assert(deferred_work_failures(run.works[0]) == 1);
    drop_works();
    deferred_queue_drop(&run.queue);
}

static void test_deferred_work_that_was_given_up_can_be_pushed_again(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        begin_run(seed);
        run.failures_wanted = DEFERRED_ATTEMPTS;
        simulated_spawn("owner", 1, push_again, NULL);
        demand_done(seed, simulated_run());
        assert_int_equal(run.done[0], 1);
        simulated_end();
        assert_int_equal(free_lost_blocks(), 0);
    }
}

static void close_then_push(void *unused)
{
    (void)unused;
    deferred_queue_drop(&run.queue);
    simulated_assert(deferred_work_push(run.works[0]) == ERR_CLOSED);
    drop_works();
}

static void test_deferred_push_after_the_queue_is_refused(void **state)
{
    (void)state;
    begin_run(1);
    simulated_spawn("owner", 1, close_then_push, NULL);
    demand_done(1, simulated_run());
    assert_int_equal(run.calls, 0);
    simulated_end();
    assert_int_equal(free_lost_blocks(), 0);
}

static void restart_often(void *unused)
{
    (void)unused;
    simulated_assert(deferred_queue_restart(run.queue, NULL) == ERR_STATE);
    for (unsigned i = 0; i <= DEFERRED_RESTARTS_MAX; i++) {
        simulated_kill(run.fakes[i].task);
        while (!simulated_has_ended(run.fakes[i].task)) {
            simulated_yield();
        }
        enum status status = deferred_queue_restart(run.queue, NULL);
        simulated_assert(status == (i < DEFERRED_RESTARTS_MAX ? OK : ERR_LIMIT));
    }
    drop_works();
    deferred_queue_drop(&run.queue);
}

static void test_deferred_queue_is_restarted_so_often_only(void **state)
{
    (void)state;
    begin_run(1);
    simulated_spawn("owner", 1, restart_often, NULL);
    demand_done(1, simulated_run());
    simulated_end();
    free_lost_blocks();
}

static void test_deferred_without_memory_leaves_nothing(void **state)
{
    (void)state;
    simulated_begin(&(struct simulated_options){.seed = 1});
    for (unsigned allowed = 0; allowed < 3; allowed++) {
        memset(&run, 0, sizeof(run));
        allocations_left = allowed;
        OWNED(deferred_queue, queue);
        assert_int_equal(deferred_queue_create("test", NULL, SLOT(queue)), ERR_NO_MEMORY);
    }
    allocations_left = 100;
    run.spawn_status = ERR_LIMIT;
    OWNED(deferred_queue, queue);
    assert_int_equal(deferred_queue_create("test", NULL, SLOT(queue)), ERR_LIMIT);
    simulated_end();
    assert_int_equal(free_lost_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deferred_in_any_order_answers_each_push_once),
        cmocka_unit_test(test_deferred_whose_task_is_killed_loses_nothing),
        cmocka_unit_test(test_deferred_work_that_fails_is_called_again),
        cmocka_unit_test(test_deferred_work_that_was_given_up_can_be_pushed_again),
        cmocka_unit_test(test_deferred_push_after_the_queue_is_refused),
        cmocka_unit_test(test_deferred_queue_is_restarted_so_often_only),
        cmocka_unit_test(test_deferred_without_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
