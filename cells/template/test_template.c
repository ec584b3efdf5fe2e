/* SPDX-License-Identifier: MIT */
/* One test for each promise and each error, named test_<unit>_<condition>_<expectation>. */
#include "template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_template_share_of_whole_is_rounded_down(void **state)
{
    uint64_t percent = 7;
    assert_int_equal(template_percent(1, 3, &percent), OK);
    assert_int_equal(percent, 33);
    assert_int_equal(template_percent(3, 2, &percent), OK);
    assert_int_equal(percent, 150);
    assert_int_equal(template_percent(0, 2, &percent), OK);
    assert_int_equal(percent, 0);
}

static void test_template_empty_whole_is_refused(void **state)
{
    uint64_t percent = 7;
    assert_int_equal(template_percent(1, 0, &percent), ERR_INVALID_ARGUMENT);
    assert_int_equal(percent, 7);
}

static void test_template_largest_share_is_accepted_and_no_more(void **state)
{
    uint64_t percent = 7;
    assert_int_equal(template_percent(TEMPLATE_SHARE_MAX + 1, 1, &percent), ERR_OVERFLOW);
    assert_int_equal(percent, 7);
    assert_int_equal(template_percent(TEMPLATE_SHARE_MAX, 100, &percent), OK);
    assert_int_equal(percent, TEMPLATE_SHARE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_template_share_of_whole_is_rounded_down),
        cmocka_unit_test(test_template_empty_whole_is_refused),
        cmocka_unit_test(test_template_largest_share_is_accepted_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
