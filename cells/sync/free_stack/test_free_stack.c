/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "free_stack.h"

#define THREADS 4
#define THINGS  12 /* fewer than the threads want: it runs empty, and tops repeat */
#define ROUNDS  40000

struct thing {
    struct free_link link;
    int owners; /* who has popped it: never more than one */
};

static struct free_stack stack;
static struct thing things[THINGS];

static void test_free_stack_gives_what_came_last(void **state)
{
    struct free_stack few = {0};
    assert_null(free_stack_pop(&few));
    free_stack_push(&few, &things[0].link);
    free_stack_push(&few, &things[1].link);
    assert_int_equal(free_stack_count(&few), 2);
    assert_ptr_equal(free_stack_pop(&few), &things[1].link);
    assert_ptr_equal(free_stack_pop(&few), &things[0].link);
    assert_null(free_stack_pop(&few));
    assert_int_equal(free_stack_count(&few), 0);
}

/* What a late reader of the top expects is not there any more, though the top has come back. */
static void test_free_stack_tells_a_top_that_was_away(void **state)
{
    struct free_stack few = {0};
    free_stack_push(&few, &things[0].link);
    free_stack_push(&few, &things[1].link);
    struct free_stack before = few;
    assert_ptr_equal(free_stack_pop(&few), &things[1].link);
    free_stack_push(&few, &things[1].link);
    assert_ptr_equal(few.top, before.top);
    assert_int_not_equal(few.pops_and_count, before.pops_and_count);
    assert_int_equal(free_stack_count(&few), 2);
}

static void test_free_stack_changes_the_owner(void **state)
{
    struct free_stack few = {0};
    struct thing *thing = &things[0];
    free_stack_push_from(&few, &thing->link, &thing, &things[1]);
    assert_ptr_equal(thing, &things[1]);
    assert_true(free_stack_pop_to(&few, &thing, offsetof(struct thing, link)));
    assert_ptr_equal(thing, &things[0]);
    assert_false(free_stack_pop_to(&few, &thing, 0));
    assert_ptr_equal(thing, &things[0]);
}

static void *take_and_give(void *failures)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct thing *taken[4] = {NULL};
        for (int k = 0; k < 4; k++) {
            struct free_link *link = free_stack_pop(&stack);
            taken[k] = (struct thing *)link;
            if (link && taken[k]->owners++ != 0) {
                __atomic_fetch_add((int *)failures, 1, __ATOMIC_RELAXED);
            }
        }
        for (int k = 0; k < 4; k++) {
            if (taken[k]) {
                taken[k]->owners--;
                free_stack_push(&stack, &taken[k]->link);
            }
        }
    }
    return NULL;
}

static void test_free_stack_gives_each_thing_to_one_thread(void **state)
{
    pthread_t threads[THREADS];
    int failures = 0;
    for (int i = 0; i < THINGS; i++) {
        free_stack_push(&stack, &things[i].link);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &failures), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(failures, 0);
    assert_int_equal(free_stack_count(&stack), THINGS);
    int count = 0;
    while (free_stack_pop(&stack)) {
        count++;
    }
    assert_int_equal(count, THINGS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_free_stack_gives_what_came_last),
        cmocka_unit_test(test_free_stack_tells_a_top_that_was_away),
        cmocka_unit_test(test_free_stack_changes_the_owner),
        cmocka_unit_test(test_free_stack_gives_each_thing_to_one_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
