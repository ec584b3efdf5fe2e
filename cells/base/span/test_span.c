/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "span.h"

static const uint8_t bytes[8] = {'a', 'b', 0, 'c', 'd', 0, 'e', 'f'};

static void test_span_holds_ranges_up_to_the_end(void **state)
{
    (void)state;
    struct span span = span_of(bytes, sizeof(bytes));
    assert_true(span_holds(span, 0, 8));
    assert_true(span_holds(span, 7, 1));
    assert_true(span_holds(span, 8, 0));
    assert_false(span_holds(span, 0, 9));
    assert_false(span_holds(span, 7, 2));
    assert_false(span_holds(span, 8, 1));
    assert_false(span_holds(span, 9, 0));
}

static void test_span_sums_that_wrap_are_outside(void **state)
{
    (void)state;
    struct span span = span_of(bytes, sizeof(bytes));
    assert_false(span_holds(span, UINT64_MAX, 1));
    assert_false(span_holds(span, UINT64_MAX, 2));
    assert_false(span_holds(span, 1, UINT64_MAX));
    assert_false(span_holds(span, UINT64_MAX - 3, 8));
    assert_false(span_holds(span, 4, UINT64_MAX - 3));
}

static void test_span_empty_holds_only_nothing(void **state)
{
    (void)state;
    struct span empty = span_of(NULL, 0);
    assert_true(span_holds(empty, 0, 0));
    assert_false(span_holds(empty, 0, 1));
    assert_null(span_at(empty, 0, 1));
    assert_null(span_string(empty, 0));
}

static void test_span_at_points_into_the_bytes(void **state)
{
    (void)state;
    struct span span = span_of(bytes, sizeof(bytes));
    assert_ptr_equal(span_at(span, 3, 5), bytes + 3);
    assert_null(span_at(span, 3, 6));
}

static void test_span_slice_outside_leaves_the_result_alone(void **state)
{
    (void)state;
    struct span span = span_of(bytes, sizeof(bytes));
    struct span part = span_of(bytes + 1, 1);
    assert_false(span_slice(span, 4, 5, &part));
    assert_ptr_equal(part.base, bytes + 1);
    assert_int_equal(part.size, 1);
    assert_true(span_slice(span, 4, 4, &part));
    assert_ptr_equal(part.base, bytes + 4);
    assert_int_equal(part.size, 4);
    assert_false(span_holds(part, 0, 5));
}

static void test_span_string_must_end_inside(void **state)
{
    (void)state;
    struct span span = span_of(bytes, sizeof(bytes));
    assert_string_equal(span_string(span, 0), "ab");
    assert_string_equal(span_string(span, 1), "b");
    assert_string_equal(span_string(span, 2), "");
    assert_null(span_string(span, 6)); /* "ef" and no NUL */
    assert_null(span_string(span, 8));
    assert_null(span_string(span, UINT64_MAX));
}

static void test_span_equal_compares_size_and_bytes(void **state)
{
    (void)state;
    static const uint8_t same[8] = {'a', 'b', 0, 'c', 'd', 0, 'e', 'f'};
    static const uint8_t other[8] = {'a', 'b', 0, 'c', 'd', 0, 'e', 'g'};
    assert_true(span_equal(span_of(bytes, 8), span_of(same, 8)));
    assert_false(span_equal(span_of(bytes, 8), span_of(other, 8)));
    assert_true(span_equal(span_of(bytes, 7), span_of(other, 7)));
    assert_false(span_equal(span_of(bytes, 8), span_of(same, 7)));
    assert_true(span_equal(span_of(NULL, 0), span_of(bytes, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_span_holds_ranges_up_to_the_end),
        cmocka_unit_test(test_span_sums_that_wrap_are_outside),
        cmocka_unit_test(test_span_empty_holds_only_nothing),
        cmocka_unit_test(test_span_at_points_into_the_bytes),
        cmocka_unit_test(test_span_slice_outside_leaves_the_result_alone),
        cmocka_unit_test(test_span_string_must_end_inside),
        cmocka_unit_test(test_span_equal_compares_size_and_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
