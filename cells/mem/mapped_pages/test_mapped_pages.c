/* SPDX-License-Identifier: MIT */
/*
 * All of memory management but the CPU is real: allocators, page tables and mappings, on a machine
 * of 24 MiB whose MMU is simulated. What a page holds is looked up as the CPU would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define SIMULATED_FRAMES      6144u
#define SIMULATED_DESCRIPTORS 4096u
#include "simulated_machine.h"

static int start(void **state)
{
    (void)state;
    return start_simulated_machine();
}

/* ---- one after the other ---- */

static void test_create_gives_zeroed_memory_in_whole_pages(void **state)
{
    (void)state;
    struct holdings before = measure();
    vaddr_t page;
    {
        OWNED(mapped_pages, mapped);
        assert_int_equal(mapped_pages_create(PAGE_ZONE_DATA, 4097, PAGE_WRITE, SLOT(mapped)), OK);
        assert_int_equal(mapped_pages_count(REF(mapped)), 2);
        assert_mapping(REF(mapped), PAGE_WRITE);
        assert_zero(REF(mapped));
        assert_false(frames_are_stale(mapped_pages_frames(REF(mapped))));
        page = mapped_pages_start(REF(mapped));
        words_of(page)[3] = 77;
    }
    assert_not_mapped(page, 2);
    assert_same(before);
}

static void test_create_executable_is_never_both(void **state)
{
    (void)state;
    struct holdings before = measure();
    OWNED(mapped_pages, mapped);
    assert_int_equal(mapped_pages_create(PAGE_ZONE_CODE, 3 * PAGE_SIZE, PAGE_EXECUTE, SLOT(mapped)),
                     OK);
    assert_true(mapped_pages_start(REF(mapped)) >= CODE_ZONE_START);
    assert_mapping(REF(mapped), PAGE_EXECUTE);
    assert_zero(REF(mapped));
    assert_int_equal(mapped_pages_remap(REF(mapped), PAGE_WRITE | PAGE_EXECUTE), ERR_PERMISSION);
    assert_int_equal(mapped_pages_remap(REF(mapped), 8), ERR_INVALID_ARGUMENT);
    assert_mapping(REF(mapped), PAGE_EXECUTE);
    assert_int_equal(mapped_pages_remap(REF(mapped), PAGE_READ), OK);
    assert_mapping(REF(mapped), PAGE_READ);
    mapped_pages_drop(SLOT(mapped));
    mapped_pages_drop(SLOT(mapped)); /* nothing on an empty one */
    assert_same(before);
}

static void test_create_wrong_arguments_are_refused(void **state)
{
    (void)state;
    struct holdings before = measure();
    struct mapped_pages *none = NULL;
    const unsigned both = PAGE_WRITE | PAGE_EXECUTE;
    const paddr_t low = 16 * PAGE_SIZE;
    assert_int_equal(mapped_pages_create(PAGE_ZONE_DATA, 1, both, &none), ERR_PERMISSION);
    assert_int_equal(mapped_pages_create(PAGE_ZONE_DATA, 1, 8, &none), ERR_INVALID_ARGUMENT);
    assert_int_equal(mapped_pages_create(PAGE_ZONE_DATA, 0, 0, &none), ERR_INVALID_ARGUMENT);
    assert_int_equal(mapped_pages_create(PAGE_ZONE_DATA, SIZE_MAX, 0, &none), ERR_NO_MEMORY);
    assert_int_equal(mapped_pages_create_at(PAGE_ZONE_DATA, low, 0, 0, &none),
                     ERR_INVALID_ARGUMENT);
    assert_int_equal(mapped_pages_create_at(PAGE_ZONE_DATA, low, 1, both, &none), ERR_PERMISSION);
    assert_int_equal(mapped_pages_create_at(PAGE_ZONE_DATA, low, SIZE_MAX, 0, &none),
                     ERR_OUT_OF_BOUNDS);
    assert_int_equal(mapped_pages_create_at(PAGE_ZONE_DATA, PHYSICAL_LIMIT, 1, 0, &none),
                     ERR_OUT_OF_BOUNDS);
    assert_int_equal(mapped_pages_create_at(PAGE_ZONE_DATA, MIB, 1, 0, &none), ERR_BUSY);
    assert_null(none);
    assert_same(before);
}

static void test_create_at_shows_what_is_there(void **state)
{
    (void)state;
    struct holdings before = measure();
    memset(memory[16], 0x11, 2 * PAGE_SIZE);
    {
        OWNED(mapped_pages, mapped);
        OWNED(mapped_pages, again);
        assert_int_equal(mapped_pages_create_at(PAGE_ZONE_DATA, 16 * PAGE_SIZE + 100, PAGE_SIZE,
                                                PAGE_READ, SLOT(mapped)),
                         OK);
        assert_int_equal(mapped_pages_count(REF(mapped)), 2);
        assert_mapping(REF(mapped), PAGE_READ);
        assert_int_equal(words_of(mapped_pages_start(REF(mapped)))[0], 0x1111111111111111);
        assert_int_equal(frames_kind(mapped_pages_frames(REF(mapped))), FRAMES_RESERVED);
        assert_int_equal(
            mapped_pages_create_at(PAGE_ZONE_DATA, 17 * PAGE_SIZE, 1, PAGE_READ, SLOT(again)),
            ERR_BUSY); /* M.1 */
    }
    assert_int_equal(memory[16][9], 0x1111111111111111);
    assert_same(before);
}

static void test_map_takes_both_or_leaves_both(void **state)
{
    (void)state;
    struct holdings before = measure();
    {
        OWNED(pages, pages);
        OWNED(frames, frames);
        OWNED(mapped_pages, mapped);
        assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, 4, 1, SLOT(pages)), OK);
        assert_int_equal(frame_allocator_take(3, 1, SLOT(frames)), OK);
        vaddr_t page = pages_start(REF(pages));
        assert_int_equal(mapped_pages_map(SLOT(pages), SLOT(frames), 0, SLOT(mapped)),
                         ERR_MISMATCH);
        OWNED(pages, rest);
        assert_int_equal(pages_split(REF(pages), 3, SLOT(rest)), OK);
        assert_int_equal(mapped_pages_map(SLOT(pages), SLOT(frames), 3, SLOT(mapped)),
                         ERR_PERMISSION);
        assert_non_null(REF(pages));
        assert_non_null(REF(frames));
        assert_int_equal(mapped_pages_map(SLOT(pages), SLOT(frames), PAGE_READ, SLOT(mapped)), OK);
        assert_null(REF(pages));
        assert_null(REF(frames));
        assert_int_equal(mapped_pages_start(REF(mapped)), page);
        assert_mapping(REF(mapped), PAGE_READ);
        assert_zero(REF(mapped));

        mapped_pages_take_apart(SLOT(mapped), SLOT(pages), SLOT(frames));
        assert_null(REF(mapped));
        assert_not_mapped(page, 3);
        assert_int_equal(pages_start(REF(pages)), page);
        assert_int_equal(frames_count(REF(frames)), 3);
        assert_false(frames_are_stale(REF(frames)));
        memory[frames_start(REF(frames)) / PAGE_SIZE][5] = 99; /* through another window, say */
        assert_int_equal(mapped_pages_map(SLOT(pages), SLOT(frames), PAGE_READ, SLOT(mapped)), OK);
        assert_int_equal(words_of(page)[5], 99); /* his frames: not cleared again */
    }
    assert_same(before);
}

static void test_stale_range_is_cleared_and_clean_one_is_kept(void **state)
{
    (void)state;
    struct holdings before = measure();
    {
        OWNED(pages, pages);
        OWNED(frames, frames);
        OWNED(frames, rest);
        OWNED(mapped_pages, mapped);
        assert_int_equal(frame_allocator_take(4, 1, SLOT(frames)), OK);
        assert_int_equal(frames_split(REF(frames), 2, SLOT(rest)), OK);
        frames_set_clean(REF(frames));
        paddr_t clean = frames_start(REF(frames));
        paddr_t stale = frames_start(REF(rest));
        memset(memory[clean / PAGE_SIZE], 0x22, 2 * PAGE_SIZE);
        memset(memory[stale / PAGE_SIZE], 0x33, 2 * PAGE_SIZE);
        assert_int_equal(frames_merge(REF(frames), SLOT(rest)), OK);
        assert_int_equal(page_allocator_take(PAGE_ZONE_DATA, 4, 1, SLOT(pages)), OK);
        assert_int_equal(mapped_pages_map(SLOT(pages), SLOT(frames), PAGE_READ, SLOT(mapped)), OK);
        assert_mapping(REF(mapped), PAGE_READ);
        assert_int_equal(memory[clean / PAGE_SIZE + 1][7], 0x2222222222222222);
        assert_int_equal(memory[stale / PAGE_SIZE][0], 0);
        assert_int_equal(memory[stale / PAGE_SIZE + 1][511], 0);
    }
    assert_same(before);
}

static void test_raw_pages_hold_what_their_frames_held(void **state)
{
    (void)state;
    struct holdings before = measure();
    { /* of those that are free the first half, which are taken first again */
        OWNED(frames, frames);
        assert_int_equal(
            frame_allocator_take_any(frame_allocator_statistics().free / 2, SLOT(frames)), OK);
        const struct frames *range = NULL;
        paddr_t start;
        uint64_t count;
        while (frames_next_range(REF(frames), &range, &start, &count)) {
            memset(memory[start / PAGE_SIZE], 0x44, count * PAGE_SIZE);
        }
    }
    {
        OWNED(mapped_pages, mapped);
        assert_int_equal(
            mapped_pages_create_raw(PAGE_ZONE_CODE, 2 * PAGE_SIZE, PAGE_WRITE, SLOT(mapped)), OK);
        assert_mapping(REF(mapped), PAGE_WRITE);
        paddr_t frame = frames_start(mapped_pages_frames(REF(mapped)));
        assert_int_equal(memory[frame / PAGE_SIZE][0], 0x4444444444444444);
        assert_int_equal(memory[frame / PAGE_SIZE + 1][511], 0x4444444444444444);
        assert_int_equal(
            mapped_pages_create_raw(PAGE_ZONE_CODE, 0, PAGE_WRITE, &(struct mapped_pages *){0}),
            ERR_INVALID_ARGUMENT);
    }
    assert_same(before);
}

static void test_large_run_uses_one_entry_and_can_be_cut(void **state)
{
    (void)state;
    struct holdings before = measure();
    {
        OWNED(mapped_pages, mapped);
        OWNED(mapped_pages, rest);
        assert_int_equal(
            mapped_pages_create(PAGE_ZONE_DATA, 2 * LARGE_SIZE, PAGE_WRITE, SLOT(mapped)), OK);
        assert_int_equal(mapped_pages_start(REF(mapped)) % LARGE_SIZE, 0);
        assert_mapping(REF(mapped), PAGE_WRITE);
        assert_zero(REF(mapped));
        vaddr_t page = mapped_pages_start(REF(mapped));
        assert_true(walk_to_directory(page) & ENTRY_LARGE);
        assert_int_equal(mapped_pages_split(REF(mapped), 700, SLOT(rest)), OK);
        assert_true(walk_to_directory(page) & ENTRY_LARGE);
        assert_false(walk_to_directory(page + LARGE_SIZE) & ENTRY_LARGE);
        assert_int_equal(mapped_pages_remap(REF(rest), PAGE_EXECUTE), OK);
        assert_mapping(REF(mapped), PAGE_WRITE);
        assert_mapping(REF(rest), PAGE_EXECUTE);
        mapped_pages_drop(SLOT(mapped));
        assert_not_mapped(page, 700);
        assert_mapping(REF(rest), PAGE_EXECUTE);
    }
    assert_same(before);
}

static void test_split_and_merge_lose_nothing(void **state)
{
    (void)state;
    struct holdings before = measure();
    {
        OWNED(mapped_pages, mapped);
        OWNED(mapped_pages, rest);
        OWNED(mapped_pages, other);
        assert_int_equal(
            mapped_pages_create(PAGE_ZONE_DATA, 9 * PAGE_SIZE, PAGE_WRITE, SLOT(mapped)), OK);
        struct holdings whole = measure();
        assert_int_equal(mapped_pages_split(REF(mapped), 0, SLOT(rest)), ERR_OUT_OF_BOUNDS);
        assert_int_equal(mapped_pages_split(REF(mapped), 9, SLOT(rest)), ERR_OUT_OF_BOUNDS);
        assert_int_equal(mapped_pages_split(REF(mapped), 4, SLOT(rest)), OK);
        assert_int_equal(mapped_pages_count(REF(mapped)), 4);
        assert_int_equal(mapped_pages_count(REF(rest)), 5);
        assert_mapping(REF(rest), PAGE_WRITE);
        assert_int_equal(mapped_pages_merge(REF(rest), SLOT(mapped)),
                         ERR_MISMATCH); /* not behind */
        assert_int_equal(mapped_pages_remap(REF(rest), PAGE_READ), OK);
        assert_int_equal(mapped_pages_merge(REF(mapped), SLOT(rest)), ERR_MISMATCH);
        assert_int_equal(mapped_pages_remap(REF(rest), PAGE_WRITE), OK);
        assert_int_equal(mapped_pages_merge(REF(mapped), SLOT(rest)), OK);
        assert_null(REF(rest));
        assert_int_equal(mapped_pages_merge(REF(mapped), SLOT(rest)), ERR_INVALID_ARGUMENT);
        assert_mapping(REF(mapped), PAGE_WRITE);
        assert_same(whole);
        assert_int_equal(
            mapped_pages_create_at(PAGE_ZONE_DATA, 16 * PAGE_SIZE, 1, PAGE_WRITE, SLOT(other)), OK);
        assert_int_equal(mapped_pages_merge(REF(mapped), SLOT(other)), ERR_MISMATCH); /* no RAM */
        assert_non_null(REF(other));
    }
    assert_same(before);
}

/* ---- access ---- */

struct ALIGNED(8) record {
    uint64_t words[3];
};

static void test_access_is_checked(void **state)
{
    (void)state;
    OWNED(mapped_pages, mapped);
    assert_int_equal(mapped_pages_create(PAGE_ZONE_DATA, 2 * PAGE_SIZE, PAGE_READ, SLOT(mapped)),
                     OK);
    const struct mapped_pages *m = REF(mapped);
    uint64_t start_page = mapped_pages_start(m);
    assert_int_equal((uint64_t)MAPPED_PAGES_AS(struct record, m, 0), start_page);
    assert_int_equal((uint64_t)MAPPED_PAGES_AS(struct record, m, 4088), start_page + 4088);
    assert_int_equal((uint64_t)MAPPED_PAGES_AS(struct record, m, 8192 - 24), start_page + 8168);
    assert_null(MAPPED_PAGES_AS(struct record, m, 8192 - 23)); /* neither aligned nor inside */
    assert_null(MAPPED_PAGES_AS(struct record, m, 8192 - 16));
    assert_null(MAPPED_PAGES_AS(struct record, m, 4));
    assert_non_null(MAPPED_PAGES_AS(uint32_t, m, 4));
    assert_non_null(MAPPED_PAGES_AS(uint8_t, m, 8191));
    assert_null(MAPPED_PAGES_AS(uint8_t, m, 8192));
    assert_null(MAPPED_PAGES_AS(uint8_t, m, UINT64_MAX));
    assert_null(MAPPED_PAGES_AS(struct record, m, UINT64_MAX - 7)); /* wraps to inside */
    assert_null(MAPPED_PAGES_AS(uint64_t, m, 0 - start_page));
    assert_non_null(MAPPED_PAGES_SLICE(uint64_t, m, 0, 1024));
    assert_null(MAPPED_PAGES_SLICE(uint64_t, m, 0, 1025));
    assert_null(MAPPED_PAGES_SLICE(uint64_t, m, 8, 1024));
    assert_null(MAPPED_PAGES_SLICE(uint64_t, m, 0, 1ull << 61)); /* times 8 is 0 */
    assert_null(MAPPED_PAGES_SLICE(struct record, m, 0, UINT64_MAX));
    assert_null(MAPPED_PAGES_AS_MUTABLE(uint64_t, m, 0));
    assert_null(MAPPED_PAGES_SLICE_MUTABLE(uint64_t, m, 0, 1));
    assert_null(MAPPED_PAGES_AS_FUNCTION(void (*)(void), m, 0));
    assert_int_equal(mapped_pages_remap(REF(mapped), PAGE_WRITE), OK);
    assert_non_null(MAPPED_PAGES_AS_MUTABLE(uint64_t, m, 0));
    assert_null(MAPPED_PAGES_AS_FUNCTION(void (*)(void), m, 0));
    assert_int_equal(mapped_pages_remap(REF(mapped), PAGE_EXECUTE), OK);
    assert_null(MAPPED_PAGES_SLICE_MUTABLE(uint64_t, m, 0, 1));
    assert_int_equal((uint64_t)MAPPED_PAGES_AS_FUNCTION(void (*)(void), m, 8191),
                     start_page + 8191);
    assert_null(MAPPED_PAGES_AS_FUNCTION(void (*)(void), m, 8192));
    assert_null(mapped_pages_access(NULL, 0, 1, 1, 1, PAGE_READ));
}

/* ---- memory that runs out ---- */

static enum status create_large(struct mapped_pages **out)
{
    return mapped_pages_create(PAGE_ZONE_DATA, LARGE_SIZE + 3 * PAGE_SIZE, PAGE_READ, out);
}

static enum status create_low(struct mapped_pages **out)
{
    return mapped_pages_create_at(PAGE_ZONE_CODE, 16 * PAGE_SIZE, 3 * PAGE_SIZE, PAGE_READ, out);
}

static enum status create_small(struct mapped_pages **out)
{
    return mapped_pages_create(PAGE_ZONE_CODE, PAGE_SIZE, PAGE_EXECUTE, out);
}

/* Needs `frames` at least. Every lesser amount of both is tried: an error, and nothing has changed.
 */
static void starve(enum status (*create)(struct mapped_pages **out), uint64_t frames)
{
    unsigned refused = 0;
    bool succeeded = false;
    for (uint64_t f = 0; f < frames + 8; f = f < 4 || f + 7 > frames ? f + 1 : frames - 6) {
        for (uint64_t d = 0; d < 40; d++) {
            struct holdings before = measure();
            struct famine famine;
            struct mapped_pages *mapped = NULL;
            uint64_t donated = mapped_pages_statistics().descriptor_pages;
            begin_famine(&famine, d, f);
            enum status status = create(&mapped);
            succeeded = status == OK;
            if (status != OK) {
                assert_int_equal(status, ERR_NO_MEMORY);
                assert_null(mapped);
                refused++;
            } else {
                assert_true(f >= frames);
                mapped_pages_drop(&mapped);
            }
            end_famine(&famine);
            if (mapped_pages_statistics().descriptor_pages == donated) {
                assert_same(before);
            }
        }
    }
    assert_true(refused > 2 && succeeded);
}

static void test_create_without_memory_changes_nothing(void **state)
{
    (void)state;
    starve(create_small, 1);
    starve(create_low, 0);
    starve(create_large, 515);
}

static void test_split_without_memory_changes_nothing(void **state)
{
    (void)state;
    OWNED(mapped_pages, mapped);
    assert_int_equal(mapped_pages_create(PAGE_ZONE_DATA, LARGE_SIZE, PAGE_WRITE, SLOT(mapped)), OK);
    unsigned refused = 0;
    for (uint64_t d = 0; d < 6; d++) {
        struct holdings before = measure();
        struct famine famine;
        struct mapped_pages *rest = NULL;
        begin_famine(&famine, d, 0);
        enum status status = mapped_pages_split(REF(mapped), 100, &rest);
        end_famine(&famine);
        assert_mapping(REF(mapped), PAGE_WRITE);
        if (status != OK) {
            assert_int_equal(status, ERR_NO_MEMORY);
            assert_null(rest);
            assert_int_equal(mapped_pages_count(REF(mapped)), 512);
            refused++;
            struct holdings now = measure();
            assert_int_equal(now.descriptors, before.descriptors);
            assert_int_equal(now.frames, before.frames);
        } else {
            assert_mapping(rest, PAGE_WRITE);
            assert_int_equal(mapped_pages_merge(REF(mapped), &rest), OK);
        }
    }
    assert_true(refused >= 2 && refused < 6);
}

/* Of two ranges of frames the second needs a table, and there is none. */
static void test_map_failing_at_the_second_range_maps_nothing(void **state)
{
    (void)state;
    const vaddr_t scratch = address_of(320, 0, 0, 0); /* no one's */
    const vaddr_t last = DATA_ZONE_START + 300 * LARGE_SIZE - PAGE_SIZE;
    struct famine famine;
    size_t used = 0;
    OWNED(pages, pages);
    OWNED(frames, frames);
    OWNED(frames, apart);
    OWNED(mapped_pages, mapped);
    assert_int_equal(page_table_map(last - PAGE_SIZE, 0x1000, 1, PAGE_READ), OK); /* its table */
    assert_int_equal(page_allocator_take_at(last, 2, SLOT(pages)), OK);
    assert_int_equal(frame_allocator_take_at(8 * MIB, 1, SLOT(frames)), OK);
    assert_int_equal(frame_allocator_take_at(9 * MIB, 1, SLOT(apart)), OK);
    assert_int_equal(frames_merge(REF(frames), SLOT(apart)), OK);
    for (; page_table_statistics().spares > 0; used++) {
        assert_int_equal(page_table_map(scratch + used * LARGE_SIZE, 0x1000, 1, PAGE_READ), OK);
    }
    begin_famine(&famine, 1000, 0);
    assert_int_equal(mapped_pages_map(SLOT(pages), SLOT(frames), 0, SLOT(mapped)), ERR_NO_MEMORY);
    assert_not_mapped(last, 2);
    end_famine(&famine);
    assert_int_equal(mapped_pages_map(SLOT(pages), SLOT(frames), 0, SLOT(mapped)), OK);
    assert_mapping(REF(mapped), PAGE_READ);
    while (used > 0) {
        assert_int_equal(page_table_unmap(scratch + --used * LARGE_SIZE, 1), OK);
    }
    assert_int_equal(page_table_unmap(last - PAGE_SIZE, 1), OK);
}

static void test_descriptors_are_made_when_they_run_low(void **state)
{
    (void)state;
    struct famine famine;
    struct mapped_pages *mapped[200] = {NULL};
    uint64_t before = mapped_pages_statistics().descriptor_pages;
    settle(); /* what is free in single pieces has descriptors */
    begin_famine(&famine, DESCRIPTOR_RESERVE, 1000);
    for (size_t i = 0; i < ARRAY_COUNT(mapped); i++) {
        assert_int_equal(mapped_pages_create(PAGE_ZONE_DATA, 1, PAGE_WRITE, &mapped[i]), OK);
        assert_true(descriptor_pool_available() > 0);
    }
    uint64_t donated = mapped_pages_statistics().descriptor_pages - before;
    assert_true(donated >= 200 * 3 / (PAGE_SIZE / DESCRIPTOR_SIZE));
    assert_true(donated < 20);
    for (size_t i = 0; i < ARRAY_COUNT(mapped); i++) {
        mapped_pages_drop(&mapped[i]);
    }
    end_famine(&famine);
}

/* A drop that is interrupted and started again does each part once. */
static void test_drop_can_be_started_again(void **state)
{
    (void)state;
    struct holdings before = measure();
    struct mapped_pages *mapped = NULL;
    assert_int_equal(mapped_pages_create(PAGE_ZONE_DATA, 3 * PAGE_SIZE, PAGE_WRITE, &mapped), OK);
    vaddr_t page = mapped_pages_start(mapped);
    assert_int_equal(page_table_unmap(page, 3), OK); /* interrupted after its first step */
    mapped_pages_drop(&mapped);
    assert_null(mapped);
    assert_same(before);
}

/* ---- against a model ---- */

static unsigned choose(unsigned below)
{
    return (unsigned)rand() % below;
}

#define MODEL_SLOTS 200u
#include "mapping_model.h"

static void test_random_operations_match_the_model(void **state)
{
    (void)state;
    struct holdings before = measure();
    const char *wanted = getenv("THEORIS_TEST_STEPS");
    unsigned long steps = wanted ? strtoul(wanted, NULL, 10) : 400000;
    srand(13);
    for (unsigned long step = 0; step < steps; step++) {
        model_step();
        if (step % 5000 == 0) {
            model_check();
        }
    }
    model_end();
    assert_same(before);
}

int main(void)
{
    /* On one machine; those that make descriptors, which stay, come last. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create_gives_zeroed_memory_in_whole_pages),
        cmocka_unit_test(test_create_executable_is_never_both),
        cmocka_unit_test(test_create_wrong_arguments_are_refused),
        cmocka_unit_test(test_create_at_shows_what_is_there),
        cmocka_unit_test(test_map_takes_both_or_leaves_both),
        cmocka_unit_test(test_stale_range_is_cleared_and_clean_one_is_kept),
        cmocka_unit_test(test_raw_pages_hold_what_their_frames_held),
        cmocka_unit_test(test_large_run_uses_one_entry_and_can_be_cut),
        cmocka_unit_test(test_split_and_merge_lose_nothing),
        cmocka_unit_test(test_access_is_checked),
        cmocka_unit_test(test_drop_can_be_started_again),
        cmocka_unit_test(test_random_operations_match_the_model),
        cmocka_unit_test(test_map_failing_at_the_second_range_maps_nothing),
        cmocka_unit_test(test_split_without_memory_changes_nothing),
        cmocka_unit_test(test_create_without_memory_changes_nothing),
        cmocka_unit_test(test_descriptors_are_made_when_they_run_low),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
