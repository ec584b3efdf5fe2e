/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "commit_priv.h"

static uint64_t words[4];

static int clear(void **state)
{
    (void)state;
    __builtin_memset(words, 0, sizeof(words));
    return 0;
}

static void test_commit_stores_all(void **state)
{
    (void)state;
    commit_two(&words[0], 1, &words[1], 2);
    commit_three(&words[1], 3, &words[2], 4, &words[3], 5);
    const uint64_t expected[] = {1, 3, 4, 5};
    assert_memory_equal(words, expected, sizeof(words));
    commit_move(&words[0], &words[3]);
    assert_int_equal(words[0], 5);
    assert_int_equal(words[3], 0);
}

static void test_commit_all_stores_in_order(void **state)
{
    (void)state;
    const struct commit_store stores[] = {{&words[0], 1}, {&words[1], 2}, {&words[0], 3}};
    commit_all(stores, 0);
    assert_int_equal(words[0], 0);
    commit_all(stores, 3);
    assert_int_equal(words[0], 3);
    assert_int_equal(words[1], 2);
}

static void test_commit_exchange_that_fails_stores_nothing(void **state)
{
    (void)state;
    words[0] = 1;
    assert_false(commit_exchange(&words[0], 2, 3, &words[1], 4));
    assert_int_equal(words[0], 1);
    assert_int_equal(words[1], 0);
    assert_true(commit_exchange(&words[0], 1, 3, &words[1], 4));
    assert_int_equal(words[0], 3);
    assert_int_equal(words[1], 4);
}

/*
 * What is struck elsewhere is none of its business; test/strike strikes the sequences themselves.
 */
static void test_commit_settle_outside_changes_nothing(void **state)
{
    (void)state;
    uint64_t registers[COMMIT_REGISTERS] = {0};
    registers[16] = (uint64_t)clear;
    commit_settle(registers);
    assert_int_equal(registers[16], (uint64_t)clear);
    assert_false(commit_is_within((uint64_t)clear));
}

static void test_commit_settle_finishes_and_moves_rip_to_the_end(void **state)
{
    (void)state;
    uint64_t begin = (uint64_t)clear - commit_place_of((uint64_t)clear);
    uint64_t registers[COMMIT_REGISTERS] = {0};
    registers[1] = (uint64_t)&words[1]; /* rdx */
    registers[2] = 7;                   /* rcx */
    registers[16] = begin + commit_places.two;
    assert_true(commit_is_within(registers[16]));
    commit_settle(registers);
    assert_int_equal(words[1], 7);
    assert_int_equal(registers[16], begin + commit_places.two_end);
    words[1] = 0;
    commit_settle(registers); /* has ended */
    assert_int_equal(words[1], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_commit_stores_all, clear),
        cmocka_unit_test_setup(test_commit_all_stores_in_order, clear),
        cmocka_unit_test_setup(test_commit_exchange_that_fails_stores_nothing, clear),
        cmocka_unit_test_setup(test_commit_settle_outside_changes_nothing, clear),
        cmocka_unit_test_setup(test_commit_settle_finishes_and_moves_rip_to_the_end, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
