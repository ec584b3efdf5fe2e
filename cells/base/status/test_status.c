/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <string.h>

#include "status.h"

static const struct {
    enum status status;
    int number;
    const char *name;
    const char *text;
} table[] = {
#define ROW(name, number, text) {name, number, #name, text},
    STATUS_TABLE(ROW)
#undef ROW
};

static void test_status_name_and_text_are_those_of_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        assert_string_equal(status_name(table[i].status), table[i].name);
        assert_string_equal(status_text(table[i].status), table[i].text);
    }
    assert_string_equal(status_name(ERR_NO_MEMORY), "ERR_NO_MEMORY");
    assert_string_equal(status_text(ERR_NO_MEMORY), "out of memory");
}

static void test_status_errors_are_negative_and_numbered_once(void **state)
{
    (void)state;
    assert_int_equal(OK, 0);
    assert_int_equal(table[0].status, OK);
    for (size_t i = 1; i < ARRAY_COUNT(table); i++) {
        assert_true(table[i].number < 0);
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(table[i].number, table[k].number);
        }
    }
}

static void test_status_texts_fit_into_a_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        const char *text = table[i].text;
        if (strncmp(text, "CPU", 3) != 0) {
            assert_true(islower((unsigned char)text[0]));
        }
        assert_int_not_equal(text[strlen(text) - 1], '.');
    }
}

static void test_status_unknown_number_has_a_name_too(void **state)
{
    (void)state;
    assert_string_equal(status_name((enum status)1), "ERR_?");
    assert_string_equal(status_name((enum status) - 999), "ERR_?");
    assert_string_equal(status_text((enum status)1), "unknown status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_name_and_text_are_those_of_the_table),
        cmocka_unit_test(test_status_errors_are_negative_and_numbered_once),
        cmocka_unit_test(test_status_texts_fit_into_a_sentence),
        cmocka_unit_test(test_status_unknown_number_has_a_name_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
