/* SPDX-License-Identifier: MIT */
#include "console.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

struct recorder {
    struct console_sink sink;
    size_t length;
    char bytes[2048];
};

static void record(struct console_sink *sink, const char *bytes, size_t length)
{
    struct recorder *recorder = CONTAINER_OF(sink, struct recorder, sink);
    assert_in_range(recorder->length + length, 0, sizeof(recorder->bytes) - 1);
    memcpy(recorder->bytes + recorder->length, bytes, length);
    recorder->length += length;
    recorder->bytes[recorder->length] = '\0';
}

static void test_console_print_reaches_every_sink(void **state)
{
    (void)state;
    struct recorder first = {.sink = {.name = "first", .write = record}};
    struct recorder second = {.sink = {.name = "second", .write = record}};
    assert_int_equal(console_register(&first.sink), OK);
    console_print("%s %d\n", "one", 1);
    assert_int_equal(console_register(&second.sink), OK);
    console_write("two\0three", 9);
    console_unregister(&first.sink);
    console_print("four");
    console_unregister(&second.sink);
    console_print("nobody hears this");
    assert_int_equal(first.length, 6 + 9);
    assert_memory_equal(first.bytes, "one 1\ntwo\0three", 15);
    assert_int_equal(second.length, 9 + 4);
    assert_memory_equal(second.bytes, "two\0threefour", 13);
}

static void test_console_register_twice_is_refused(void **state)
{
    (void)state;
    struct recorder recorder = {.sink = {.name = "once", .write = record}};
    assert_int_equal(console_register(&recorder.sink), OK);
    assert_int_equal(console_register(&recorder.sink), ERR_EXISTS);
    console_print("x");
    assert_string_equal(recorder.bytes, "x");
    console_unregister(&recorder.sink);
    console_unregister(&recorder.sink); /* not registered: nothing happens */
    assert_int_equal(console_register(&recorder.sink), OK);
    console_unregister(&recorder.sink);
}

static void test_console_print_longest_text_is_whole_and_longer_is_marked(void **state)
{
    (void)state;
    struct recorder recorder = {.sink = {.name = "long", .write = record}};
    assert_int_equal(console_register(&recorder.sink), OK);
    console_print("%*d", CONSOLE_PRINT_SIZE, 7);
    assert_int_equal(recorder.length, CONSOLE_PRINT_SIZE);
    assert_int_equal(recorder.bytes[CONSOLE_PRINT_SIZE - 1], '7');
    recorder.length = 0;
    console_print("%*d", CONSOLE_PRINT_SIZE + 1, 7);
    console_unregister(&recorder.sink);
    assert_int_equal(recorder.length, CONSOLE_PRINT_SIZE);
    size_t mark = strlen(CONSOLE_CUT_MARK);
    assert_string_equal(recorder.bytes + CONSOLE_PRINT_SIZE - mark, CONSOLE_CUT_MARK);
    assert_int_equal(recorder.bytes[CONSOLE_PRINT_SIZE - mark - 1], ' ');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_console_print_reaches_every_sink),
        cmocka_unit_test(test_console_register_twice_is_refused),
        cmocka_unit_test(test_console_print_longest_text_is_whole_and_longer_is_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
