/* SPDX-License-Identifier: MIT */
#include "application.h"
#include "console.h"
#include "logger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

APPLICATION(log);

static char said[8192];
static size_t said_length;

static void hear(struct console_sink *sink, const char *bytes, size_t length)
{
    (void)sink;
    assert_in_range(said_length + length, 0, sizeof(said) - 1);
    memcpy(said + said_length, bytes, length);
    said_length += length;
    said[said_length] = '\0';
}

static enum status run_log(const char *level)
{
    const char *values[] = {"log", level, NULL};
    said_length = 0;
    return log_main(&(struct app_arguments){.count = level ? 2 : 1, .values = values});
}

static void test_log_without_level_shows_all_in_order(void **state)
{
    (void)state;
    assert_int_equal(run_log(NULL), OK);
    const char *first = strstr(said, "] error   log: it broke\n");
    const char *last = strstr(said, "] debug   log: because of this\n");
    assert_non_null(first);
    assert_non_null(last);
    assert_true(first < last);
    assert_non_null(strstr(said, "3 of 3 messages shown; 0 forgotten, 0 not kept\n"));
}

static void test_log_level_hides_what_is_less_important(void **state)
{
    (void)state;
    assert_int_equal(run_log("w"), OK);
    assert_non_null(strstr(said, "it broke"));
    assert_non_null(strstr(said, "it looks odd"));
    assert_null(strstr(said, "because"));
    assert_non_null(strstr(said, "2 of 3 messages shown"));
}

static void test_log_unknown_level_is_refused(void **state)
{
    (void)state;
    assert_int_equal(run_log("loud"), ERR_INVALID_ARGUMENT);
    assert_string_equal(said, "log: no such level: loud (error, warning, info, debug)\n");
}

int main(void)
{
    struct console_sink sink = {.name = "test", .write = hear};
    log_error("it broke");
    log_warning("it looks odd");
    log_debug("because of this");
    assert_int_equal(console_register(&sink), OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_without_level_shows_all_in_order),
        cmocka_unit_test(test_log_level_hides_what_is_less_important),
        cmocka_unit_test(test_log_unknown_level_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
