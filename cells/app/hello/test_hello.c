/* SPDX-License-Identifier: MIT */
#include "application.h"
#include "console.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

APPLICATION(hello);

static char said[256];

static void hear(struct console_sink *sink, const char *bytes, size_t length)
{
    (void)sink;
    assert_in_range(length, 1, sizeof(said) - 1);
    memcpy(said, bytes, length);
    said[length] = '\0';
}

static void test_hello_greets_who_is_named_or_the_world(void **state)
{
    (void)state;
    const char *values[] = {"hello", "Athens", NULL};
    assert_int_equal(hello_main(&(struct app_arguments){.count = 1, .values = values}), OK);
    assert_int_equal(strncmp(said, "Hello, world! ", 14), 0);
    assert_int_equal(hello_main(&(struct app_arguments){.count = 2, .values = values}), OK);
    assert_int_equal(strncmp(said, "Hello, Athens! ", 15), 0);
}

int main(void)
{
    struct console_sink sink = {.name = "test", .write = hear};
    assert_int_equal(console_register(&sink), OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_greets_who_is_named_or_the_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
