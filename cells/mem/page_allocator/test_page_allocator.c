/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "descriptor_pool.h"
#include "page_allocator.h"

#define CODE_PAGES ((CODE_ZONE_END - CODE_ZONE_START) / PAGE_SIZE)
#define DATA_PAGES ((DATA_ZONE_END - DATA_ZONE_START) / PAGE_SIZE)

static uint64_t descriptors; /* in use when the test began */

static int start(void **state)
{
    (void)state;
    enum status status = page_allocator_init();
    descriptors = descriptor_pool_in_use();
    return status;
}

/* All is free again, each zone in one piece, and no descriptor is lost. */
static void assert_as_at_first(void)
{
    static const uint64_t totals[PAGE_ZONE_COUNT] = {CODE_PAGES, DATA_PAGES};
    for (unsigned zone = 0; zone < PAGE_ZONE_COUNT; zone++) {
        struct pages *all = NULL;
        assert_int_equal(page_allocator_statistics(zone).free, totals[zone]);
        assert_int_equal(page_allocator_take(zone, totals[zone], 1, &all), OK);
        pages_drop(&all);
        assert_int_equal(page_allocator_statistics(zone).ranges, 1);
        assert_int_equal(page_allocator_statistics(zone).bad_drops, 0);
    }
    assert_int_equal(descriptor_pool_in_use(), descriptors);
}

static void test_zones_begin_where_the_map_says(void **state)
{
    (void)state;
    {
        OWNED(pages, code);
        OWNED(pages, data);
        OWNED(pages, more);
        assert_int_equal(page_allocator_take(PAGE_ZONE_CODE, 1, 1, SLOT(code)), OK);
        assert_int_equal(pages_start(REF(code)), CODE_ZONE_START);
        assert_int_equal(pages_zone(REF(code)), PAGE_ZONE_CODE);
        assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, 1, 1, SLOT(data)), OK);
        assert_int_equal(pages_start(REF(data)), DATA_ZONE_START);
        assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, 5, 1, SLOT(more)), OK);
        assert_int_equal(pages_start(REF(more)), DATA_ZONE_START + PAGE_SIZE);
        assert_int_equal(pages_count(REF(more)), 5);
    }
    assert_as_at_first();
}

static void test_take_what_there_is_not_is_refused(void **state)
{
    (void)state;
    struct pages *none = NULL;
    assert_int_equal(page_allocator_take(PAGE_ZONE_CODE, CODE_PAGES + 1, 1, &none),
                     ERR_NO_ADDRESS_SPACE);
    assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, UINT64_MAX, 1, &none),
                     ERR_NO_ADDRESS_SPACE);
    assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, 0, 1, &none), ERR_INVALID_ARGUMENT);
    assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, 1, 3, &none), ERR_INVALID_ARGUMENT);
    assert_null(none);
    assert_as_at_first();
}

static void test_take_has_the_alignment_that_was_asked_for(void **state)
{
    (void)state;
    {
        OWNED(pages, one);
        OWNED(pages, large);
        assert_int_equal(page_allocator_take(PAGE_ZONE_CODE, 1, 1, SLOT(one)), OK);
        assert_int_equal(page_allocator_take(PAGE_ZONE_CODE, 700, 512, SLOT(large)), OK);
        assert_int_equal(pages_start(REF(large)) % (512 * PAGE_SIZE), 0);
    }
    assert_as_at_first();
}

static void test_take_at_takes_these_pages_or_none(void **state)
{
    (void)state;
    {
        OWNED(pages, pages);
        OWNED(pages, none);
        const vaddr_t at = DATA_ZONE_START + 77 * PAGE_SIZE;
        assert_int_equal(page_allocator_take_at(at, 3, SLOT(pages)), OK);
        assert_int_equal(pages_start(REF(pages)), at);
        assert_int_equal(page_allocator_take_at(at - PAGE_SIZE, 2, SLOT(none)), ERR_BUSY);
        assert_int_equal(page_allocator_take_at(at + 8, 1, SLOT(none)), ERR_MISALIGNED);
        assert_int_equal(page_allocator_take_at(at, 0, SLOT(none)), ERR_OUT_OF_BOUNDS);
        assert_int_equal(page_allocator_take_at(0, 1, SLOT(none)), ERR_OUT_OF_BOUNDS);
        assert_int_equal(page_allocator_take_at(KERNEL_BASE, 1, SLOT(none)), ERR_OUT_OF_BOUNDS);
        assert_int_equal(page_allocator_take_at(CODE_ZONE_END - PAGE_SIZE, 2, SLOT(none)),
                         ERR_OUT_OF_BOUNDS);
        assert_int_equal(page_allocator_take_at(CODE_ZONE_END - PAGE_SIZE, 1, SLOT(none)), OK);
        pages_drop(SLOT(none));
        pages_drop(SLOT(pages));
        /* Single pages that came back are found too. */
        assert_int_equal(page_allocator_take_at(CODE_ZONE_END - 2 * PAGE_SIZE, 2, SLOT(none)), OK);
    }
    assert_as_at_first();
}

static void test_split_and_merge_lose_nothing(void **state)
{
    (void)state;
    {
        OWNED(pages, pages);
        OWNED(pages, rest);
        OWNED(pages, code);
        assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, 10, 1, SLOT(pages)), OK);
        assert_int_equal(pages_split(REF(pages), 0, SLOT(rest)), ERR_OUT_OF_BOUNDS);
        assert_int_equal(pages_split(REF(pages), 10, SLOT(rest)), ERR_OUT_OF_BOUNDS);
        assert_int_equal(pages_split(REF(pages), 4, SLOT(rest)), OK);
        assert_int_equal(pages_count(REF(pages)), 4);
        assert_int_equal(pages_count(REF(rest)), 6);
        assert_int_equal(pages_start(REF(rest)), DATA_ZONE_START + 4 * PAGE_SIZE);
        assert_int_equal(pages_merge(REF(rest), SLOT(pages)), ERR_MISMATCH); /* not behind */
        assert_non_null(REF(pages));
        assert_int_equal(page_allocator_take(PAGE_ZONE_CODE, 1, 1, SLOT(code)), OK);
        assert_int_equal(pages_merge(REF(pages), SLOT(code)), ERR_MISMATCH);
        assert_int_equal(pages_merge(REF(pages), SLOT(rest)), OK);
        assert_int_equal(pages_merge(REF(pages), SLOT(rest)), ERR_INVALID_ARGUMENT);
        assert_int_equal(pages_count(REF(pages)), 10);
    }
    assert_as_at_first();
}

static void test_without_descriptors_nothing_changes(void **state)
{
    (void)state;
    struct pages *pages = NULL;
    struct pages *rest = NULL;
    assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, 10, 1, &pages), OK);
    void *hoard = NULL; /* blocks, linked by their first word */
    while (descriptor_pool_available() > 0) {
        void *block = descriptor_pool_get();
        *(void **)block = hoard;
        hoard = block;
    }
    assert_int_equal(pages_split(pages, 5, &rest), ERR_NO_MEMORY);
    assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, 2, 1, &rest), ERR_NO_MEMORY);
    assert_int_equal(page_allocator_take_at(DATA_ZONE_START + (1 << 20), 1, &rest), ERR_NO_MEMORY);
    assert_null(rest);
    assert_int_equal(pages_count(pages), 10);
    while (hoard) {
        void *block = hoard;
        hoard = *(void **)block;
        descriptor_pool_put(block);
    }
    pages_drop(&pages);
    assert_as_at_first();
}

/* ---- against a model ---- */

static unsigned choose(unsigned below)
{
    return (unsigned)rand() % below;
}

#define MODEL_PAGES 8192u
#define MODEL_SLOTS 120u
#include "page_model.h"

static void test_random_operations_match_the_model(void **state)
{
    (void)state;
    srand(11);
    for (unsigned step = 0; step < 1000000; step++) {
        model_step();
    }
    model_end();
    assert_as_at_first();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_zones_begin_where_the_map_says, start),
        cmocka_unit_test_setup(test_take_what_there_is_not_is_refused, start),
        cmocka_unit_test_setup(test_take_has_the_alignment_that_was_asked_for, start),
        cmocka_unit_test_setup(test_take_at_takes_these_pages_or_none, start),
        cmocka_unit_test_setup(test_split_and_merge_lose_nothing, start),
        cmocka_unit_test_setup(test_without_descriptors_nothing_changes, start),
        cmocka_unit_test_setup(test_random_operations_match_the_model, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
