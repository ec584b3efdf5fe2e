/* SPDX-License-Identifier: MIT */
#include "console_recorder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void test_console_print_reaches_every_sink(void **state)
{
    (void)state;
    struct console_recorder first;
    struct console_recorder second;
    console_recorder_start(&first);
    console_print("%s %d\n", "one", 1);
    console_recorder_start(&second);
    console_write("two\0three", 9);
    console_unregister(&first.sink);
    console_print("four");
    console_unregister(&second.sink);
    console_print("nobody hears this");
    assert_int_equal(first.length, 6 + 9);
    assert_memory_equal(first.text, "one 1\ntwo\0three", 15);
    assert_int_equal(second.length, 9 + 4);
    assert_memory_equal(second.text, "two\0threefour", 13);
}

static void test_console_register_twice_is_refused(void **state)
{
    (void)state;
    struct console_recorder recorder;
    console_recorder_start(&recorder);
    assert_int_equal(console_register(&recorder.sink), ERR_EXISTS);
    console_print("x");
    assert_string_equal(recorder.text, "x");
    console_unregister(&recorder.sink);
    console_unregister(&recorder.sink); /* not registered: nothing happens */
    assert_int_equal(console_register(&recorder.sink), OK);
    console_unregister(&recorder.sink);
}

static void test_console_print_longest_text_is_whole_and_longer_is_marked(void **state)
{
    (void)state;
    struct console_recorder recorder;
    console_recorder_start(&recorder);
    console_print("%*d", CONSOLE_PRINT_SIZE, 7);
    assert_int_equal(recorder.length, CONSOLE_PRINT_SIZE);
    assert_int_equal(recorder.text[CONSOLE_PRINT_SIZE - 1], '7');
    console_recorder_clear(&recorder);
    console_print("%*d", CONSOLE_PRINT_SIZE + 1, 7);
    console_unregister(&recorder.sink);
    assert_int_equal(recorder.length, CONSOLE_PRINT_SIZE);
    size_t mark = strlen(CONSOLE_CUT_MARK);
    assert_string_equal(recorder.text + CONSOLE_PRINT_SIZE - mark, CONSOLE_CUT_MARK);
    assert_int_equal(recorder.text[CONSOLE_PRINT_SIZE - mark - 1], ' ');
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
