/* SPDX-License-Identifier: MIT */
#include "application.h"
#include "console_recorder.h"
#include "logger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

APPLICATION(log);

static struct console_recorder said;

static enum status run_log(const char *level)
{
    const char *values[] = {"log", level, NULL};
    console_recorder_clear(&said);
    return log_main(&(struct app_arguments){.count = level ? 2 : 1, .values = values});
}

static void test_log_without_level_shows_all_in_order(void **state)
{
    (void)state;
    assert_int_equal(run_log(NULL), OK);
    const char *first = strstr(said.text, "] error   log: it broke\n");
    const char *last = strstr(said.text, "] debug   log: because of this\n");
    assert_non_null(first);
    assert_non_null(last);
    assert_true(first < last);
    assert_non_null(strstr(said.text, "3 of 3 messages shown; 0 forgotten, 0 not kept\n"));
}

static void test_log_level_hides_what_is_less_important(void **state)
{
    (void)state;
    assert_int_equal(run_log("w"), OK);
    assert_non_null(strstr(said.text, "it broke"));
    assert_non_null(strstr(said.text, "it looks odd"));
    assert_null(strstr(said.text, "because"));
    assert_non_null(strstr(said.text, "2 of 3 messages shown"));
}

static void test_log_unknown_level_is_refused(void **state)
{
    (void)state;
    assert_int_equal(run_log("loud"), ERR_INVALID_ARGUMENT);
    assert_string_equal(said.text, "log: no such level: loud (error, warning, info, debug)\n");
}

int main(void)
{
    log_error("it broke");
    log_warning("it looks odd");
    log_debug("because of this");
    console_recorder_start(&said);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_without_level_shows_all_in_order),
        cmocka_unit_test(test_log_level_hides_what_is_less_important),
        cmocka_unit_test(test_log_unknown_level_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
