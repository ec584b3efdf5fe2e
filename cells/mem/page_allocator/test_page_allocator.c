/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "page_allocator.h"

static int start(void **state)
{
    (void)state;
    return page_allocator_init();
}

static void test_zones_begin_where_the_map_says(void **state)
{
    (void)state;
    vaddr_t page;
    assert_int_equal(page_allocator_take(PAGE_ZONE_CODE, 1, &page), OK);
    assert_int_equal(page, CODE_ZONE_START);
    assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, 1, &page), OK);
    assert_int_equal(page, DATA_ZONE_START);
    assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, 5, &page), OK);
    assert_int_equal(page, DATA_ZONE_START + PAGE_SIZE);
}

static void test_take_more_than_the_zone_is_refused(void **state)
{
    (void)state;
    vaddr_t page = 1;
    size_t all = (CODE_ZONE_END - CODE_ZONE_START) / PAGE_SIZE;
    assert_int_equal(page_allocator_take(PAGE_ZONE_CODE, all + 1, &page), ERR_NO_ADDRESS_SPACE);
    assert_int_equal(page, 1);
    assert_int_equal(page_allocator_take(PAGE_ZONE_CODE, all, &page), OK);
    assert_int_equal(page, CODE_ZONE_START);
    assert_int_equal(page_allocator_take(PAGE_ZONE_CODE, 1, &page), ERR_NO_ADDRESS_SPACE);
    assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, 1, &page), OK);
    assert_int_equal(page_allocator_give_back(PAGE_ZONE_CODE, CODE_ZONE_START, all), OK);
    assert_int_equal(page_allocator_statistics(PAGE_ZONE_CODE).free, all);
}

static void test_given_back_pages_are_taken_first(void **state)
{
    (void)state;
    vaddr_t first;
    vaddr_t second;
    assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, 3, &first), OK);
    assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, 3, &second), OK);
    assert_int_equal(page_allocator_give_back(PAGE_ZONE_DATA, first, 3), OK);
    assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, 4, &second), OK);
    assert_int_not_equal(second, first);
    assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, 2, &second), OK);
    assert_int_equal(second, first);
}

static void test_give_back_wrong_pages_is_refused(void **state)
{
    (void)state;
    vaddr_t page;
    assert_int_equal(page_allocator_take(PAGE_ZONE_CODE, 2, &page), OK);
    assert_int_equal(page_allocator_give_back(PAGE_ZONE_CODE, page + 8, 1), ERR_MISALIGNED);
    assert_int_equal(page_allocator_give_back(PAGE_ZONE_DATA, page, 1), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_allocator_give_back(PAGE_ZONE_CODE, page - PAGE_SIZE, 1),
                     ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_allocator_give_back(PAGE_ZONE_CODE, CODE_ZONE_END - PAGE_SIZE, 2),
                     ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_allocator_give_back(PAGE_ZONE_CODE, page, 3), ERR_EXISTS);
    assert_int_equal(page_allocator_give_back(PAGE_ZONE_CODE, page, 0), ERR_INVALID_ARGUMENT);
    assert_int_equal(page_allocator_give_back(PAGE_ZONE_CODE, page, 2), OK);
    assert_int_equal(page_allocator_give_back(PAGE_ZONE_CODE, page, 2), ERR_EXISTS);
}

static void test_fragmentation_beyond_the_limit_is_counted(void **state)
{
    (void)state;
    vaddr_t page;
    size_t count = 2 * PAGE_ALLOCATOR_RANGES + 2;
    assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, count, &page), OK);
    /* One range of storage holds the untouched rest of the zone. */
    for (size_t i = 0; i < PAGE_ALLOCATOR_RANGES - 1; i++) {
        assert_int_equal(page_allocator_give_back(PAGE_ZONE_DATA, page + 2 * i * PAGE_SIZE, 1), OK);
    }
    assert_int_equal(page_allocator_give_back(PAGE_ZONE_DATA, page + (count - 2) * PAGE_SIZE, 1),
                     ERR_LIMIT);
    assert_int_equal(page_allocator_statistics(PAGE_ZONE_DATA).lost, 1);
    assert_int_equal(page_allocator_statistics(PAGE_ZONE_DATA).ranges, PAGE_ALLOCATOR_RANGES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_zones_begin_where_the_map_says, start),
        cmocka_unit_test_setup(test_take_more_than_the_zone_is_refused, start),
        cmocka_unit_test_setup(test_given_back_pages_are_taken_first, start),
        cmocka_unit_test_setup(test_give_back_wrong_pages_is_refused, start),
        cmocka_unit_test_setup(test_fragmentation_beyond_the_limit_is_counted, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
