/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "task_state.h"

/* The table of task_state.h, a row for each state: where it goes. */
static const char *const table[TASK_RUNSTATES] = {
    [TASK_READY] = "running ",
    [TASK_RUNNING] = "ready blocked ended ",
    [TASK_BLOCKED] = "ready running ",
    [TASK_ENDED] = "",
};

static void test_task_state_ways_are_those_of_the_table(void **state)
{
    (void)state;
    for (unsigned from = 0; from < TASK_RUNSTATES; from++) {
        char ways[64] = "";
        for (unsigned to = 0; to < TASK_RUNSTATES; to++) {
            if (task_state_may_go((enum task_runstate)from, (enum task_runstate)to)) {
                strcat(ways, task_state_name((enum task_runstate)to));
                strcat(ways, " ");
            }
        }
        assert_string_equal(ways, table[from]);
    }
}

static void test_task_state_that_is_none_goes_nowhere(void **state)
{
    (void)state;
    for (unsigned other = 0; other <= TASK_RUNSTATES; other++) {
        assert_false(task_state_may_go(TASK_RUNSTATES, (enum task_runstate)other));
        assert_false(task_state_may_go((enum task_runstate)other, TASK_RUNSTATES));
    }
    assert_string_equal(task_state_name(TASK_RUNSTATES), "?");
}

static void test_task_state_init_numbers_tasks_and_cuts_names(void **state)
{
    (void)state;
    struct task first = {0};
    struct task second = {0};
    task_state_init(&first, "a name that is longer than what fits", 3, 7);
    task_state_init(&second, "", TASK_PRIORITY_BASE, 0);
    assert_int_equal(first.state, TASK_READY);
    assert_int_equal(first.references, 1);
    assert_int_equal(first.priority, 3);
    assert_int_equal(first.home, 7);
    assert_int_equal(first.end, TASK_NOT_ENDED);
    assert_int_equal(strlen(first.name), TASK_NAME_SIZE - 1);
    assert_memory_equal(first.name, "a name that is longer than what fits", TASK_NAME_SIZE - 1);
    assert_string_equal(second.name, "");
    assert_true(second.id > first.id && first.id > 0);
}

static void test_task_state_priority_is_the_higher_of_own_and_lent(void **state)
{
    (void)state;
    struct task task = {.priority = 5};
    assert_int_equal(task_state_priority(&task), 5);
    task.lent = 4;
    assert_int_equal(task_state_priority(&task), 5);
    task.lent = 6;
    assert_int_equal(task_state_priority(&task), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_task_state_ways_are_those_of_the_table),
        cmocka_unit_test(test_task_state_that_is_none_goes_nowhere),
        cmocka_unit_test(test_task_state_init_numbers_tasks_and_cuts_names),
        cmocka_unit_test(test_task_state_priority_is_the_higher_of_own_and_lent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
