/* SPDX-License-Identifier: MIT */
/*
 * What every run queue has to do, against a model that is a sorted array: a task goes behind all
 * that run before it, or at the same time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heap.h"
#include "scheduler.h"

#define BY_ARRIVAL  0
#define BY_PRIORITY 1

#define TASKS      300
#define OPERATIONS 400000
#define SEED       0x9e3779b97f4a7c15ull

/* ---- memory that can run out ---- */

static long blocks;
static bool is_memory_short;

void *heap_allocate(size_t bytes)
{
    if (is_memory_short) {
        return NULL;
    }
    blocks++;
    return malloc(bytes);
}

void heap_free(void *block)
{
    blocks -= block != NULL;
    free(block);
}

/* ---- the model ---- */

static struct task tasks[TASKS];
static struct task *expected[TASKS]; /* in the order in which they run */
static size_t expected_count;

static bool runs_before(const struct task *left, const struct task *right)
{
    return RUN_QUEUE_ORDER == BY_PRIORITY && task_state_priority(left) > task_state_priority(right);
}

static size_t place_of(const struct task *task)
{
    size_t at = 0;
    while (at < expected_count && expected[at] != task) {
        at++;
    }
    return at;
}

static void expect_added(struct task *task)
{
    size_t at = expected_count++;
    for (; at > 0 && runs_before(task, expected[at - 1]); at--) {
        expected[at] = expected[at - 1];
    }
    expected[at] = task;
}

static struct task *expect_taken(size_t at)
{
    struct task *task = expected[at];
    expected_count--;
    memmove(&expected[at], &expected[at + 1], (expected_count - at) * sizeof(expected[0]));
    return task;
}

static struct task *expect_given(void)
{
    for (size_t at = expected_count; at > 0; at--) {
        if (!expected[at - 1]->is_pinned) {
            return expect_taken(at - 1);
        }
    }
    return NULL;
}

/* ---- random operations ---- */

static uint64_t random_state = SEED;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static struct run_queue *queue; /* owned */
static struct task *taken;

static void make_queue(size_t capacity)
{
    OWNED(run_queue, made);
    assert_int_equal(run_queue_create(capacity, SLOT(made)), OK);
    STORE(queue, made);
}

static void add(struct task *task)
{
    if (run_queue_count(queue) < run_queue_capacity(queue)) {
        run_queue_add(queue, task);
        expect_added(task);
    }
}

/* As the dispatcher does it: out, changed, and in again behind its new equals. */
static void lend(struct task *task, uint8_t lent)
{
    bool was_queued = run_queue_remove(queue, task);
    assert_int_equal(was_queued, place_of(task) < expected_count);
    if (was_queued) {
        expect_taken(place_of(task));
    }
    task->lent = lent;
    if (was_queued) {
        add(task);
    }
}

static void replace_queue(void)
{
    struct run_queue *old = queue;
    queue = NULL;
    make_queue(run_queue_count(old) + next_random() % TASKS);
    run_queue_inherit(queue, old);
    run_queue_repair(queue); /* nothing is broken */
    assert_int_equal(run_queue_count(queue), run_queue_count(old));
    run_queue_drop(&old);
}

static void step(void)
{
    struct task *task = &tasks[next_random() % TASKS];
    bool is_queued = place_of(task) < expected_count;
    unsigned choice = next_random() % 100;
    if (choice < 45) {
        if (!is_queued) {
            add(task);
        }
    } else if (choice < 70) {
        struct task *first = expected_count ? expect_taken(0) : NULL;
        taken = NULL;
        assert_ptr_equal(run_queue_take(queue, &taken), first);
        assert_ptr_equal(taken, first);
    } else if (choice < 80) {
        struct task *given = NULL;
        struct task *wanted = expect_given();
        assert_ptr_equal(run_queue_give(queue, &given), wanted);
        assert_ptr_equal(given, wanted);
    } else if (choice < 90) {
        assert_int_equal(run_queue_remove(queue, task), is_queued);
        if (is_queued) {
            expect_taken(place_of(task));
        }
    } else if (choice < 99) {
        lend(task, (uint8_t)(next_random() % TASK_PRIORITIES));
    } else {
        replace_queue();
    }
    assert_int_equal(run_queue_count(queue), expected_count);
}

/* Few tasks, then many: a queue that is nearly empty, nearly full, and wraps. */
static void test_run_queue_random_operations_agree_with_model(void **state)
{
    (void)state;
    print_message("%s: %d operations, seed %#llx\n", run_queue_policy(), OPERATIONS,
                  (unsigned long long)SEED);
    for (size_t i = 0; i < TASKS; i++) {
        tasks[i] = (struct task){.priority = (uint8_t)(next_random() % TASK_PRIORITIES),
                                 .is_pinned = next_random() % 3 == 0};
    }
    make_queue(0);
    for (unsigned i = 0; i < OPERATIONS; i++) {
        step();
    }
    while (expected_count) {
        assert_ptr_equal(run_queue_take(queue, &taken), expect_taken(0));
    }
    assert_null(run_queue_take(queue, &taken));
    run_queue_drop(&queue);
    assert_int_equal(blocks, 0);
}

/* ---- what the model takes for granted ---- */

static void test_run_queue_holds_what_it_has_room_for(void **state)
{
    (void)state;
    static const size_t capacities[] = {0, 1, 16, 17, 100, 256, TASKS};
    for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
        make_queue(capacities[i]);
        assert_true(run_queue_capacity(queue) >= capacities[i]);
        memset(tasks, 0, sizeof(tasks));
        size_t count = capacities[i] ? capacities[i] : 1;
        for (int turn = 0; turn < 3; turn++) {
            for (size_t task = 0; task < count; task++) {
                run_queue_add(queue, &tasks[task]);
            }
            assert_int_equal(run_queue_count(queue), count);
            for (size_t task = 0; task < count; task++) {
                struct task *first = run_queue_take(queue, &taken);
                assert_ptr_equal(first, &tasks[task]); /* equals: by arrival */
            }
        }
        run_queue_drop(&queue);
    }
    assert_int_equal(blocks, 0);
}

static void test_run_queue_create_refuses_what_it_cannot_hold(void **state)
{
    (void)state;
    OWNED(run_queue, refused);
    assert_int_equal(run_queue_create(SIZE_MAX, SLOT(refused)), ERR_OVERFLOW);
    assert_int_equal(run_queue_create(((size_t)1 << 24) + 1, SLOT(refused)), ERR_OVERFLOW);
    is_memory_short = true;
    assert_int_equal(run_queue_create(1, SLOT(refused)), ERR_NO_MEMORY);
    is_memory_short = false;
    assert_false(HELD(refused));
    assert_int_equal(blocks, 0);
}

static void test_run_queue_gives_no_pinned_task(void **state)
{
    (void)state;
    struct task pinned = {.is_pinned = true, .priority = TASK_PRIORITY_BASE};
    struct task free_task = {.priority = TASK_PRIORITY_BASE};
    struct task *given = NULL;
    make_queue(2);
    run_queue_add(queue, &pinned);
    assert_null(run_queue_give(queue, &given));
    run_queue_add(queue, &free_task);
    assert_ptr_equal(run_queue_give(queue, &given), &free_task);
    assert_null(run_queue_give(queue, &given));
    assert_ptr_equal(run_queue_take(queue, &taken), &pinned);
    run_queue_drop(&queue);
}

static void test_run_queue_preempts_for_a_higher_priority_only(void **state)
{
    (void)state;
    for (unsigned ready = 0; ready < TASK_PRIORITIES; ready++) {
        for (unsigned running = 0; running < TASK_PRIORITIES; running++) {
            struct task left = {.priority = (uint8_t)ready};
            struct task right = {.priority = (uint8_t)running};
            assert_int_equal(run_queue_preempts(&left, &right), runs_before(&left, &right));
            struct task lent = {.priority = 0, .lent = (uint8_t)ready};
            assert_int_equal(run_queue_preempts(&lent, &right), runs_before(&left, &right));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_queue_random_operations_agree_with_model),
        cmocka_unit_test(test_run_queue_holds_what_it_has_room_for),
        cmocka_unit_test(test_run_queue_create_refuses_what_it_cannot_hold),
        cmocka_unit_test(test_run_queue_gives_no_pinned_task),
        cmocka_unit_test(test_run_queue_preempts_for_a_higher_priority_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
