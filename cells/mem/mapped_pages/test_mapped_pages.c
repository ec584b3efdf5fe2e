/* SPDX-License-Identifier: MIT */
/*
 * The allocators and the page table are replaced by the simplest that can be counted: pages are
 * those of one array of the host's memory, frames are numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "frame_allocator.h"
#include "logger.h"
#include "mapped_pages.h"
#include "page_allocator.h"
#include "page_table.h"

#define PAGES 8

static _Alignas(4096) uint8_t memory[PAGES * 4096];
static bool page_taken[PAGES];
static bool frame_taken[PAGES];
static paddr_t mapped_frame[PAGES]; /* 0: not mapped; frame numbers start at 1 */
static unsigned mapped_flags[PAGES];
static unsigned complaints;
static bool lie_about_frames;
static int maps_until_failure;
static int protects_until_failure;

static size_t index_of(vaddr_t page)
{
    size_t index = (size_t)(page - (vaddr_t)memory) / PAGE_SIZE;
    assert_true(index < PAGES);
    return index;
}

enum status page_allocator_take(enum page_zone zone, size_t count, vaddr_t *out_start)
{
    assert_int_equal(zone, PAGE_ZONE_DATA);
    for (size_t i = 0; i + count <= PAGES; i++) {
        if (!memchr(page_taken + i, true, count)) {
            memset(page_taken + i, true, count);
            *out_start = (vaddr_t)memory + i * PAGE_SIZE;
            return OK;
        }
    }
    return ERR_NO_ADDRESS_SPACE;
}

enum status page_allocator_give_back(enum page_zone zone, vaddr_t start, size_t count)
{
    assert_int_equal(zone, PAGE_ZONE_DATA);
    for (size_t i = index_of(start); count > 0; i++, count--) {
        assert_true(page_taken[i]);
        page_taken[i] = false;
    }
    return OK;
}

enum status frame_allocator_take(size_t count, paddr_t *out_start)
{
    assert_int_equal(count, 1);
    for (size_t i = 0; i < PAGES; i++) {
        if (!frame_taken[i]) {
            frame_taken[i] = true;
            *out_start = (i + 1) * PAGE_SIZE;
            return OK;
        }
    }
    return ERR_NO_MEMORY;
}

enum status frame_allocator_give_back(paddr_t start, size_t count)
{
    assert_int_equal(count, 1);
    if (!frame_taken[start / PAGE_SIZE - 1]) {
        return ERR_EXISTS;
    }
    frame_taken[start / PAGE_SIZE - 1] = false;
    return OK;
}

struct frame_statistics frame_allocator_statistics(void)
{
    struct frame_statistics statistics = {.total = PAGES};
    for (size_t i = 0; i < PAGES; i++) {
        statistics.free += !frame_taken[i] || lie_about_frames;
    }
    return statistics;
}

enum status page_table_map(vaddr_t page, paddr_t frame, unsigned flags)
{
    if (maps_until_failure-- == 0) {
        return ERR_NO_MEMORY;
    }
    assert_int_equal(mapped_frame[index_of(page)], 0);
    mapped_frame[index_of(page)] = frame;
    mapped_flags[index_of(page)] = flags;
    return OK;
}

enum status page_table_unmap(vaddr_t page, paddr_t *out_frame)
{
    if (!mapped_frame[index_of(page)]) {
        return ERR_NOT_FOUND;
    }
    *out_frame = mapped_frame[index_of(page)];
    mapped_frame[index_of(page)] = 0;
    return OK;
}

enum status page_table_protect(vaddr_t page, unsigned flags)
{
    if (protects_until_failure-- == 0) {
        return ERR_FAILED;
    }
    assert_int_not_equal(mapped_frame[index_of(page)], 0);
    mapped_flags[index_of(page)] = flags;
    return OK;
}

void logger_write(enum log_level level, const char *cell, const char *format, ...)
{
    (void)cell;
    (void)format;
    assert_int_equal(level, LOG_ERROR);
    complaints++;
}

static int clear(void **state)
{
    (void)state;
    memset(memory, 0xa5, sizeof(memory));
    memset(page_taken, 0, sizeof(page_taken));
    memset(frame_taken, 0, sizeof(frame_taken));
    memset(mapped_frame, 0, sizeof(mapped_frame));
    complaints = 0;
    lie_about_frames = false;
    maps_until_failure = -1;
    protects_until_failure = -1;
    return 0;
}

static void assert_nothing_is_held(void)
{
    for (size_t i = 0; i < PAGES; i++) {
        assert_false(page_taken[i]);
        assert_false(frame_taken[i]);
        assert_int_equal(mapped_frame[i], 0);
    }
    assert_int_equal(complaints, 0);
}

static void test_init_gives_zeroed_memory_in_whole_pages(void **state)
{
    (void)state;
    struct mapped_pages pages;
    assert_int_equal(mapped_pages_init(&pages, PAGE_ZONE_DATA, 4097, PAGE_WRITE), OK);
    assert_int_equal(mapped_pages_size(&pages), 8192);
    uint8_t *bytes = mapped_pages_address(&pages);
    for (size_t i = 0; i < 8192; i++) {
        assert_int_equal(bytes[i], 0);
    }
    assert_int_equal(bytes[8192], 0xa5);
    assert_int_equal(mapped_flags[1], PAGE_WRITE);
    mapped_pages_fini(&pages);
    assert_null(mapped_pages_address(&pages));
    assert_nothing_is_held();
}

static void test_init_uncleared_leaves_the_memory_as_it_is(void **state)
{
    (void)state;
    struct mapped_pages pages;
    assert_int_equal(mapped_pages_init_uncleared(&pages, PAGE_ZONE_DATA, 4097), OK);
    assert_int_equal(mapped_pages_size(&pages), 8192);
    const uint8_t *bytes = mapped_pages_address(&pages);
    for (size_t i = 0; i < 8192; i++) {
        assert_int_equal(bytes[i], 0xa5);
    }
    assert_int_equal(mapped_flags[1], PAGE_WRITE);
    mapped_pages_fini(&pages);
    assert_nothing_is_held();
    assert_int_equal(mapped_pages_init_uncleared(&pages, PAGE_ZONE_DATA, 0), ERR_INVALID_ARGUMENT);
    assert_int_equal(mapped_pages_init_uncleared(&pages, PAGE_ZONE_DATA, (PAGES + 1) * PAGE_SIZE),
                     ERR_NO_MEMORY);
    assert_nothing_is_held();
}

static void test_fini_twice_or_on_zeroed_does_nothing(void **state)
{
    (void)state;
    struct mapped_pages pages = {0};
    mapped_pages_fini(&pages);
    assert_int_equal(mapped_pages_init(&pages, PAGE_ZONE_DATA, 1, PAGE_WRITE), OK);
    mapped_pages_fini(&pages);
    mapped_pages_fini(&pages);
    assert_nothing_is_held();
    assert_int_equal(mapped_pages_protect(&pages, PAGE_READ), ERR_STATE);
}

static void test_init_executable_is_not_writable_any_more(void **state)
{
    (void)state;
    struct mapped_pages pages;
    assert_int_equal(mapped_pages_init(&pages, PAGE_ZONE_DATA, 8192, PAGE_EXECUTE), OK);
    assert_int_equal(mapped_flags[0], PAGE_EXECUTE);
    assert_int_equal(mapped_flags[1], PAGE_EXECUTE);
    assert_int_equal(mapped_pages_protect(&pages, PAGE_READ), OK);
    assert_int_equal(mapped_flags[1], PAGE_READ);
    assert_int_equal(pages.flags, PAGE_READ);
    assert_int_equal(mapped_pages_protect(&pages, PAGE_WRITE | PAGE_EXECUTE), ERR_PERMISSION);
    assert_int_equal(mapped_flags[1], PAGE_READ);
    mapped_pages_fini(&pages);
    assert_nothing_is_held();
}

static void test_init_wrong_arguments_are_refused(void **state)
{
    (void)state;
    struct mapped_pages pages;
    assert_int_equal(mapped_pages_init(&pages, PAGE_ZONE_DATA, 1, PAGE_WRITE | PAGE_EXECUTE),
                     ERR_PERMISSION);
    assert_int_equal(mapped_pages_init(&pages, PAGE_ZONE_DATA, 0, PAGE_WRITE),
                     ERR_INVALID_ARGUMENT);
    assert_int_equal(mapped_pages_init(&pages, PAGE_ZONE_DATA, 1, 8), ERR_INVALID_ARGUMENT);
    assert_int_equal(mapped_pages_init(&pages, PAGE_ZONE_DATA, (PAGES + 1) * PAGE_SIZE, PAGE_WRITE),
                     ERR_NO_MEMORY);
    assert_int_equal(mapped_pages_init_at_frames(&pages, PAGE_ZONE_DATA, 0x1000,
                                                 (PAGES + 1) * PAGE_SIZE, PAGE_READ),
                     ERR_NO_ADDRESS_SPACE);
    assert_int_equal(
        mapped_pages_init_at_frames(&pages, PAGE_ZONE_DATA, PHYSICAL_LIMIT - 1, 2, PAGE_READ),
        ERR_OUT_OF_BOUNDS);
    assert_int_equal(
        mapped_pages_init_at_frames(&pages, PAGE_ZONE_DATA, 0x1000, SIZE_MAX, PAGE_READ),
        ERR_OUT_OF_BOUNDS);
    assert_int_equal(mapped_pages_init_at_frames(&pages, PAGE_ZONE_DATA, 0x1000, 0, PAGE_READ),
                     ERR_INVALID_ARGUMENT);
    assert_null(mapped_pages_address(&pages));
    assert_nothing_is_held();
}

static void test_init_failing_at_any_step_leaves_nothing(void **state)
{
    struct mapped_pages pages;
    for (int step = 0; step < 4; step++) {
        clear(state);
        maps_until_failure = step;
        assert_int_equal(mapped_pages_init(&pages, PAGE_ZONE_DATA, 4 * PAGE_SIZE, PAGE_WRITE),
                         ERR_NO_MEMORY);
        assert_nothing_is_held();
        clear(state);
        maps_until_failure = step;
        assert_int_equal(
            mapped_pages_init_at_frames(&pages, PAGE_ZONE_DATA, 0x1000, 4 * PAGE_SIZE, PAGE_READ),
            ERR_NO_MEMORY);
        assert_nothing_is_held();
        clear(state);
        protects_until_failure = step;
        assert_int_equal(mapped_pages_init(&pages, PAGE_ZONE_DATA, 4 * PAGE_SIZE, PAGE_EXECUTE),
                         ERR_FAILED);
        assert_nothing_is_held();
    }
}

static void test_init_without_frames_leaves_nothing(void **state)
{
    (void)state;
    struct mapped_pages pages;
    memset(frame_taken, true, PAGES - 2);
    assert_int_equal(mapped_pages_init(&pages, PAGE_ZONE_DATA, 3 * PAGE_SIZE, PAGE_WRITE),
                     ERR_NO_MEMORY);
    lie_about_frames = true; /* as where page tables need the last ones */
    assert_int_equal(mapped_pages_init(&pages, PAGE_ZONE_DATA, 3 * PAGE_SIZE, PAGE_WRITE),
                     ERR_NO_MEMORY);
    memset(frame_taken, false, PAGES - 2);
    assert_nothing_is_held();
}

static void test_init_at_frames_keeps_the_offset_and_the_frames(void **state)
{
    (void)state;
    struct mapped_pages pages;
    assert_int_equal(mapped_pages_init_at_frames(&pages, PAGE_ZONE_DATA, 0x7ffffc, 8, PAGE_READ),
                     OK);
    assert_ptr_equal(mapped_pages_address(&pages), memory + 0xffc);
    assert_int_equal(mapped_pages_size(&pages), 8);
    assert_int_equal(pages.page_count, 2);
    assert_int_equal(mapped_frame[0], 0x7ff000);
    assert_int_equal(mapped_frame[1], 0x800000);
    assert_int_equal(memory[0xffc], 0xa5);
    mapped_pages_fini(&pages);
    assert_nothing_is_held();
}

static void test_fini_of_what_is_gone_is_reported(void **state)
{
    (void)state;
    struct mapped_pages pages;
    assert_int_equal(mapped_pages_init(&pages, PAGE_ZONE_DATA, 1, PAGE_WRITE), OK);
    mapped_frame[0] = 0;
    mapped_pages_fini(&pages);
    assert_int_equal(complaints, 1);
    assert_null(mapped_pages_address(&pages));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_init_gives_zeroed_memory_in_whole_pages, clear),
        cmocka_unit_test_setup(test_init_uncleared_leaves_the_memory_as_it_is, clear),
        cmocka_unit_test_setup(test_fini_twice_or_on_zeroed_does_nothing, clear),
        cmocka_unit_test_setup(test_init_executable_is_not_writable_any_more, clear),
        cmocka_unit_test_setup(test_init_wrong_arguments_are_refused, clear),
        cmocka_unit_test_setup(test_init_failing_at_any_step_leaves_nothing, clear),
        cmocka_unit_test_setup(test_init_without_frames_leaves_nothing, clear),
        cmocka_unit_test_setup(test_init_at_frames_keeps_the_offset_and_the_frames, clear),
        cmocka_unit_test_setup(test_fini_of_what_is_gone_is_reported, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
