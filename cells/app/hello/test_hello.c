/* SPDX-License-Identifier: MIT */
#include "application.h"
#include "console_recorder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

APPLICATION(hello);

static struct console_recorder said;

static void test_hello_greets_who_is_named_or_the_world(void **state)
{
    (void)state;
    const char *values[] = {"hello", "Athens", NULL};
    assert_int_equal(hello_main(&(struct app_arguments){.count = 1, .values = values}), OK);
    assert_int_equal(strncmp(said.text, "Hello, world! ", 14), 0);
    console_recorder_clear(&said);
    assert_int_equal(hello_main(&(struct app_arguments){.count = 2, .values = values}), OK);
    assert_int_equal(strncmp(said.text, "Hello, Athens! ", 15), 0);
}

int main(void)
{
    console_recorder_start(&said);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_greets_who_is_named_or_the_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
