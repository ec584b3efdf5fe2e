/* SPDX-License-Identifier: MIT */
/* Pages are real, as addresses; frames and mappings are counted only, so that each can fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "descriptor_pool.h"
#include "frame_allocator.h"
#include "mapped_pages.h"
#include "page_allocator.h"
#include "page_table.h"
#include "stack.h"

struct frames {
    uint64_t count;
};

struct mapped_pages {
    struct pages *pages;
    struct frames *frames;
};

static unsigned frames_alive;
static unsigned mappings_alive;
static bool refuse_frames;
static bool refuse_mapping;
static vaddr_t mapped_guard; /* the one page that page_table_find() finds */
static unsigned unmapped;

enum status frame_allocator_take(uint64_t count, uint64_t alignment, struct frames **out)
{
    (void)count;
    (void)out;
    assert_int_equal(alignment, 1);
    return ERR_NO_MEMORY; /* never so many in one run */
}

enum status frame_allocator_take_any(uint64_t count, struct frames **out)
{
    if (refuse_frames) {
        return ERR_NO_MEMORY;
    }
    struct frames *frames = malloc(sizeof(*frames));
    frames->count = count;
    frames_alive++;
    FILL(out, frames);
    return OK;
}

void frames_drop(struct frames **handle)
{
    frames_alive -= *handle != NULL;
    free(*handle);
    *handle = NULL;
}

enum status mapped_pages_map(struct pages **pages, struct frames **frames, unsigned flags,
                             struct mapped_pages **out)
{
    assert_int_equal(flags, PAGE_WRITE);
    assert_int_equal(pages_count(*pages), (*frames)->count);
    if (refuse_mapping) {
        return ERR_NO_MEMORY;
    }
    struct mapped_pages *mapped = malloc(sizeof(*mapped));
    *mapped = (struct mapped_pages){.pages = *pages, .frames = *frames};
    *pages = NULL;
    *frames = NULL;
    mappings_alive++;
    FILL(out, mapped);
    return OK;
}

void mapped_pages_drop(struct mapped_pages **handle)
{
    if (*handle) {
        pages_drop(&(*handle)->pages);
        frames_drop(&(*handle)->frames);
        free(*handle);
        *handle = NULL;
        mappings_alive--;
    }
}

vaddr_t mapped_pages_start(const struct mapped_pages *mapped)
{
    return pages_start(mapped->pages);
}

bool page_table_find(vaddr_t page, paddr_t *out_frame, unsigned *out_flags)
{
    assert_null(out_frame);
    assert_null(out_flags);
    return page == mapped_guard;
}

enum status page_table_unmap(vaddr_t page, uint64_t count)
{
    assert_int_equal(page, mapped_guard);
    assert_int_equal(count, 1);
    unmapped++;
    return OK;
}

static uint64_t pages_before;
static uint64_t descriptors_before;

/* Single pages may be kept apart, each with its descriptor, until somebody wants certain pages. */
static void join_free_pages(void)
{
    OWNED(pages, pages);
    assert_int_equal(page_allocator_take_at(DATA_ZONE_END - 2 * PAGE_SIZE, 2, SLOT(pages)), OK);
}

static int start(void **state)
{
    (void)state;
    static bool is_started;
    if (!is_started && page_allocator_init() != OK) {
        return 1;
    }
    is_started = true;
    refuse_frames = false;
    refuse_mapping = false;
    pages_before = page_allocator_statistics(PAGE_ZONE_DATA).free;
    join_free_pages();
    descriptors_before = descriptor_pool_in_use();
    return 0;
}

static int check_nothing_lost(void **state)
{
    (void)state;
    join_free_pages();
    return frames_alive != 0 || mappings_alive != 0 ||
           page_allocator_statistics(PAGE_ZONE_DATA).free != pages_before ||
           descriptor_pool_in_use() != descriptors_before;
}

static void assert_part(vaddr_t address, const char *name, enum stack_part part)
{
    struct stack_place place;
    assert_true(stack_find(address, &place));
    assert_string_equal(place.name, name);
    assert_int_equal(place.part, part);
    assert_int_equal(stack_find_guard(address, &place), part != STACK_INSIDE);
}

static void test_create_has_guards_at_both_ends(void **state)
{
    (void)state;
    struct stack_place place;
    OWNED(stack, stack);
    assert_int_equal(stack_create(2 * PAGE_SIZE - 1, "worker", SLOT(stack)), OK);
    vaddr_t bottom = stack_bottom(REF(stack));
    vaddr_t top = stack_top(REF(stack));
    assert_int_equal(top - bottom, 2 * PAGE_SIZE);
    assert_string_equal(stack_name(REF(stack)), "worker");
    assert_int_equal(page_allocator_statistics(PAGE_ZONE_DATA).free, pages_before - 4);

    assert_false(stack_find(bottom - PAGE_SIZE - 1, &place));
    assert_part(bottom - PAGE_SIZE, "worker", STACK_GUARD_BELOW);
    assert_part(bottom - 1, "worker", STACK_GUARD_BELOW);
    assert_part(bottom, "worker", STACK_INSIDE);
    assert_part(top - 1, "worker", STACK_INSIDE);
    assert_part(top, "worker", STACK_GUARD_ABOVE);
    assert_part(top + PAGE_SIZE - 1, "worker", STACK_GUARD_ABOVE);
    assert_false(stack_find(top + PAGE_SIZE, &place));
    assert_false(stack_find(0, &place));
    assert_false(stack_find(UINT64_MAX, &place));
}

static void test_drop_in_any_order_leaves_the_others(void **state)
{
    (void)state;
    struct stack_place place;
    OWNED(stack, a);
    OWNED(stack, b);
    OWNED(stack, c);
    assert_int_equal(stack_create(1, "a", SLOT(a)), OK);
    assert_int_equal(stack_create(1, "b", SLOT(b)), OK);
    assert_int_equal(stack_create(1, "c", SLOT(c)), OK);
    vaddr_t in_a = stack_bottom(REF(a));
    vaddr_t in_b = stack_bottom(REF(b));
    vaddr_t in_c = stack_bottom(REF(c));
    stack_drop(SLOT(b)); /* from the middle */
    assert_false(stack_find(in_b, &place));
    assert_part(in_a, "a", STACK_INSIDE);
    assert_part(in_c, "c", STACK_INSIDE);
    stack_drop(SLOT(c)); /* the newest */
    assert_false(stack_find(in_c, &place));
    assert_part(in_a, "a", STACK_INSIDE);
    stack_drop(SLOT(a));
    assert_false(stack_find(in_a, &place));
    stack_drop(SLOT(a)); /* empty: nothing to do */
}

static void test_create_after_a_failure_nothing_is_held(void **state)
{
    (void)state;
    OWNED(stack, stack);
    assert_int_equal(stack_create(0, "none", SLOT(stack)), ERR_INVALID_ARGUMENT);
    refuse_frames = true;
    assert_int_equal(stack_create(1, "no frames", SLOT(stack)), ERR_NO_MEMORY);
    refuse_frames = false;
    refuse_mapping = true;
    assert_int_equal(stack_create(1, "no tables", SLOT(stack)), ERR_NO_MEMORY);
    refuse_mapping = false;
    assert_int_equal(
        stack_create((DATA_ZONE_END - DATA_ZONE_START) - PAGE_SIZE, "too large", SLOT(stack)),
        ERR_NO_ADDRESS_SPACE);
    assert_false(HELD(stack));
}

static void test_create_without_descriptors_fails_cleanly(void **state)
{
    (void)state;
    void *blocks[1024];
    for (unsigned left = 0; left < 10; left++) {
        size_t count = 0;
        while (descriptor_pool_available() > left) {
            assert_true(count < ARRAY_COUNT(blocks));
            blocks[count++] = descriptor_pool_get();
        }
        OWNED(stack, stack);
        enum status status = stack_create(1, "x", SLOT(stack));
        assert_true(status == OK ? left >= 5 : status == ERR_NO_MEMORY);
        stack_drop(SLOT(stack));
        for (size_t i = 0; i < count; i++) {
            descriptor_pool_put(blocks[i]);
        }
        join_free_pages();
        assert_int_equal(descriptor_pool_in_use(), descriptors_before);
    }
}

static void test_create_long_name_is_cut(void **state)
{
    (void)state;
    char name[100];
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    OWNED(stack, stack);
    assert_int_equal(stack_create(1, name, SLOT(stack)), OK);
    assert_int_equal(strlen(stack_name(REF(stack))), STACK_NAME_SIZE - 1);
}

/* Last: what was adopted stays. */
static void test_adopt_unmaps_guards_and_stays(void **state)
{
    (void)state;
    vaddr_t bottom = KERNEL_BASE + 0x100000;
    assert_int_equal(stack_adopt(bottom + 8, PAGE_SIZE, "boot"), ERR_MISALIGNED);
    assert_int_equal(stack_adopt(bottom, 100, "boot"), ERR_MISALIGNED);
    assert_int_equal(stack_adopt(bottom, 0, "boot"), ERR_INVALID_ARGUMENT);
    mapped_guard = bottom + PAGE_SIZE;
    assert_int_equal(stack_adopt(bottom, PAGE_SIZE, "boot"), OK);
    assert_int_equal(unmapped, 1); /* the other one was not mapped */
    assert_part(bottom - 1, "boot", STACK_GUARD_BELOW);
    assert_part(bottom, "boot", STACK_INSIDE);
    assert_part(bottom + PAGE_SIZE, "boot", STACK_GUARD_ABOVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_create_has_guards_at_both_ends, start,
                                        check_nothing_lost),
        cmocka_unit_test_setup_teardown(test_drop_in_any_order_leaves_the_others, start,
                                        check_nothing_lost),
        cmocka_unit_test_setup_teardown(test_create_after_a_failure_nothing_is_held, start,
                                        check_nothing_lost),
        cmocka_unit_test_setup_teardown(test_create_without_descriptors_fails_cleanly, start,
                                        check_nothing_lost),
        cmocka_unit_test_setup_teardown(test_create_long_name_is_cut, start, check_nothing_lost),
        cmocka_unit_test_setup(test_adopt_unmaps_guards_and_stays, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
