/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "boot_info.h"
#include "descriptor_pool.h"
#include "frame_allocator.h"

#define MIB 0x100000ull

static struct boot_info boot;
static uint64_t descriptors; /* in use when the test began */

static void add_memory(paddr_t start, uint64_t bytes, uint32_t kind)
{
    boot.memory[boot.memory_count++] =
        (struct boot_memory){.start = start, .bytes = bytes, .kind = kind};
}

static void add_module(paddr_t start, uint64_t bytes)
{
    boot.modules[boot.module_count++] = (struct boot_module){.start = start, .bytes = bytes};
}

/* A machine's descriptors stay in use when the next one starts: there is memory for all of them. */
static int clear(void **state)
{
    (void)state;
    static _Alignas(4096) uint8_t more[40][64 * 1024];
    static unsigned machine;
    descriptor_pool_donate(more[machine % 40], machine < 40 ? sizeof(more[0]) : 0);
    machine++;
    memset(&boot, 0, sizeof(boot));
    return 0;
}

/* A 64 MiB machine with an image of 1 MiB at 1 MiB. */
static void start_small_machine(void)
{
    add_memory(0, 0x9fc00, BOOT_MEMORY_USABLE);
    add_memory(0x9fc00, 0x400, BOOT_MEMORY_RESERVED);
    add_memory(MIB, 63 * MIB, BOOT_MEMORY_USABLE);
    assert_int_equal(frame_allocator_init(&boot, MIB, MIB), OK);
    descriptors = descriptor_pool_in_use();
}

static uint64_t free_count(void)
{
    return frame_allocator_statistics().free;
}

/* All is free again, in one piece, and no descriptor is lost. */
static void assert_as_at_first(void)
{
    struct frames *all = NULL;
    struct frame_statistics now = frame_allocator_statistics();
    assert_int_equal(now.free, now.total);
    assert_int_equal(now.bad_drops, 0);
    assert_int_equal(frame_allocator_take(now.total, 1, &all), OK);
    frames_drop(&all);
    assert_int_equal(frame_allocator_statistics().ranges, 1);
    assert_int_equal(descriptor_pool_in_use(), descriptors);
}

/* ---- the memory map ---- */

static void test_init_leaves_out_low_memory_and_image(void **state)
{
    (void)state;
    OWNED(frames, frames);
    start_small_machine();
    assert_int_equal(frame_allocator_statistics().total, 62 * MIB / PAGE_SIZE);
    assert_int_equal(free_count(), 62 * MIB / PAGE_SIZE);
    assert_int_equal(frame_allocator_take(1, 1, SLOT(frames)), OK);
    assert_int_equal(frames_start(REF(frames)), 2 * MIB);
    assert_int_equal(frames_count(REF(frames)), 1);
    assert_int_equal(frames_kind(REF(frames)), FRAMES_RAM);
    assert_true(frames_are_stale(REF(frames)));
}

static void test_init_reserves_information_and_modules_by_whole_frames(void **state)
{
    (void)state;
    OWNED(frames, frames);
    boot.information_start = 2 * MIB + 0x10;
    boot.information_bytes = 0x1000; /* touches two frames */
    add_module(2 * MIB + 0x2000, 1);
    start_small_machine();
    assert_int_equal(frame_allocator_statistics().total, 62 * MIB / PAGE_SIZE - 3);
    assert_int_equal(frame_allocator_take(1, 1, SLOT(frames)), OK);
    assert_int_equal(frames_start(REF(frames)), 2 * MIB + 0x3000);
}

static void test_usable_memory_counts_by_whole_frames_only(void **state)
{
    (void)state;
    OWNED(frames, frames);
    add_memory(MIB + 1, 4 * PAGE_SIZE, BOOT_MEMORY_USABLE); /* three whole ones */
    assert_int_equal(frame_allocator_init(&boot, 0, 0), OK);
    assert_int_equal(frame_allocator_statistics().total, 3);
    assert_int_equal(frame_allocator_take(3, 1, SLOT(frames)), OK);
    assert_int_equal(frames_start(REF(frames)), MIB + PAGE_SIZE);
}

static void test_what_is_not_usable_wins_over_what_is(void **state)
{
    (void)state;
    add_memory(MIB, 16 * PAGE_SIZE, BOOT_MEMORY_USABLE);
    add_memory(MIB + 4 * PAGE_SIZE + 8, 8, BOOT_MEMORY_ACPI_NVS);
    add_memory(MIB + 8 * PAGE_SIZE, 16 * PAGE_SIZE, BOOT_MEMORY_USABLE); /* overlaps the first */
    assert_int_equal(frame_allocator_init(&boot, 0, 0), OK);
    assert_int_equal(frame_allocator_statistics().total, 23);
    assert_int_equal(frame_allocator_statistics().ranges, 2);
}

static void test_machine_without_memory_is_refused(void **state)
{
    (void)state;
    assert_int_equal(frame_allocator_init(&boot, 0, 0), ERR_NO_MEMORY);
    add_memory(0, MIB, BOOT_MEMORY_USABLE); /* low memory only */
    assert_int_equal(frame_allocator_init(&boot, 0, 0), ERR_NO_MEMORY);
}

static void test_memory_at_the_ends_of_the_address_space_is_cut(void **state)
{
    (void)state;
    add_memory(PHYSICAL_LIMIT - 2 * PAGE_SIZE, 8 * PAGE_SIZE, BOOT_MEMORY_USABLE);
    add_memory(UINT64_MAX - 10, 10, BOOT_MEMORY_USABLE);
    assert_int_equal(frame_allocator_init(&boot, 0, 0), OK);
    assert_int_equal(frame_allocator_statistics().total, 2);
}

#define MAP_FRAMES 4096 /* the first 16 MiB, frame by frame */

static enum frame_kind expected_kind(uint64_t frame)
{
    paddr_t start = frame * PAGE_SIZE;
    bool is_mentioned = false;
    bool is_usable = false;
    bool is_refused = start < MIB;
    for (size_t i = 0; i < boot.memory_count; i++) {
        const struct boot_memory *memory = &boot.memory[i];
        uint64_t end = memory->start + memory->bytes;
        bool touches = memory->start < start + PAGE_SIZE && end > start;
        bool fills = memory->start <= start && end >= start + PAGE_SIZE;
        is_mentioned |= touches;
        is_usable |= memory->kind == BOOT_MEMORY_USABLE && fills;
        is_refused |= memory->kind != BOOT_MEMORY_USABLE && touches;
    }
    return is_usable && !is_refused ? FRAMES_RAM : is_mentioned ? FRAMES_RESERVED : FRAMES_DEVICE;
}

/*
 * As many ranges as UEFI gives, overlapping and in no order; each frame is of the kind it must be.
 */
static void test_every_frame_of_random_maps_has_one_kind(void **state)
{
    srand(5);
    for (int round = 0; round < 20; round++) {
        clear(state);
        for (unsigned i = 0; i < 200 && i < BOOT_INFO_MEMORY_LIMIT; i++) {
            uint64_t bytes = 1 + (uint64_t)rand() % (rand() % 8 ? 40 * PAGE_SIZE : 3 * MIB);
            paddr_t start = (uint64_t)rand() % (16 * MIB - bytes);
            bool is_aligned = rand() % 2;
            add_memory(is_aligned ? page_align_down(start) : start,
                       is_aligned ? page_align_down(bytes) + PAGE_SIZE : bytes,
                       rand() % 3 ? BOOT_MEMORY_USABLE : 2 + (uint32_t)rand() % 4);
        }
        if (frame_allocator_init(&boot, 0, 0) != OK) {
            continue;
        }
        uint64_t ram = 0;
        for (uint64_t frame = 0; frame < MAP_FRAMES; frame++) {
            OWNED(frames, frames);
            assert_int_equal(frame_allocator_take_at(frame * PAGE_SIZE, 1, SLOT(frames)), OK);
            if (frames_kind(REF(frames)) != expected_kind(frame)) {
                fail_msg("round %d, frame %lu", round, (unsigned long)frame);
            }
            assert_int_equal(frames_are_stale(REF(frames)), frames_kind(REF(frames)) == FRAMES_RAM);
            ram += frames_kind(REF(frames)) == FRAMES_RAM;
        }
        assert_int_equal(frame_allocator_statistics().total, ram);
        assert_int_equal(free_count(), ram);
    }
}

/* ---- taking and giving ---- */

static void test_take_has_the_alignment_that_was_asked_for(void **state)
{
    (void)state;
    start_small_machine();
    {
        OWNED(frames, one);
        OWNED(frames, large);
        assert_int_equal(frame_allocator_take(1, 1, SLOT(one)), OK);
        assert_int_equal(frame_allocator_take(512, 512, SLOT(large)), OK);
        assert_int_equal(frames_start(REF(large)), 4 * MIB);
    }
    struct frames *none = NULL;
    assert_int_equal(frame_allocator_take(1, 3, &none), ERR_INVALID_ARGUMENT);
    assert_int_equal(frame_allocator_take(1, 0, &none), ERR_INVALID_ARGUMENT);
    assert_int_equal(frame_allocator_take(0, 1, &none), ERR_INVALID_ARGUMENT);
    assert_int_equal(frame_allocator_take(free_count() + 1, 1, &none), ERR_NO_MEMORY);
    assert_int_equal(frame_allocator_take(UINT64_MAX, 1, &none), ERR_NO_MEMORY);
    assert_int_equal(frame_allocator_take(1, 1ull << 63, &none), ERR_NO_MEMORY);
    assert_null(none);
    assert_as_at_first();
}

static void test_take_top_takes_the_highest(void **state)
{
    (void)state;
    start_small_machine();
    {
        OWNED(frames, frames);
        assert_int_equal(frame_allocator_take_top(2, SLOT(frames)), OK);
        assert_int_equal(frames_start(REF(frames)), 64 * MIB - 2 * PAGE_SIZE);
    }
    assert_as_at_first();
}

static void test_take_at_knows_owners_and_kinds(void **state)
{
    (void)state;
    start_small_machine();
    {
        OWNED(frames, ram);
        OWNED(frames, low);
        OWNED(frames, device);
        OWNED(frames, none);
        assert_int_equal(frame_allocator_take_at(8 * MIB, 4, SLOT(ram)), OK);
        assert_int_equal(frame_allocator_take_at(8 * MIB + 3 * PAGE_SIZE, 1, SLOT(none)), ERR_BUSY);
        assert_int_equal(frame_allocator_take_at(8 * MIB - PAGE_SIZE, 2, SLOT(none)), ERR_BUSY);
        assert_int_equal(frame_allocator_take_at(MIB, 1, SLOT(none)), ERR_BUSY); /* the image */
        assert_int_equal(frame_allocator_take_at(0, 2, SLOT(low)), OK);
        assert_int_equal(frames_kind(REF(low)), FRAMES_RESERVED);
        assert_int_equal(frame_allocator_take_at(0xfee00000, 1, SLOT(device)), OK);
        assert_int_equal(frames_kind(REF(device)), FRAMES_DEVICE);
        /* One handle is of one kind. */
        assert_int_equal(frame_allocator_take_at(64 * MIB - PAGE_SIZE, 2, SLOT(none)), ERR_BUSY);
        assert_int_equal(frame_allocator_take_at(8 * MIB + 1, 1, SLOT(none)), ERR_MISALIGNED);
        assert_int_equal(frame_allocator_take_at(8 * MIB, 0, SLOT(none)), ERR_OUT_OF_BOUNDS);
        assert_int_equal(frame_allocator_take_at(PHYSICAL_LIMIT, 1, SLOT(none)), ERR_OUT_OF_BOUNDS);
        assert_int_equal(frame_allocator_take_at(PHYSICAL_LIMIT - PAGE_SIZE, 2, SLOT(none)),
                         ERR_OUT_OF_BOUNDS);
        assert_int_equal(frame_allocator_take_at(PAGE_SIZE, UINT64_MAX, SLOT(none)),
                         ERR_OUT_OF_BOUNDS);
    }
    assert_as_at_first();
    OWNED(frames, again);
    assert_int_equal(frame_allocator_take_at(0xfee00000, 1, SLOT(again)), OK);
}

static void test_single_frame_that_came_back_can_be_taken_by_address(void **state)
{
    (void)state;
    start_small_machine();
    {
        OWNED(frames, frames);
        assert_int_equal(frame_allocator_take(1, 1, SLOT(frames)), OK);
        paddr_t start = frames_start(REF(frames));
        frames_drop(SLOT(frames));
        assert_int_equal(frame_allocator_take_at(start, 3, SLOT(frames)), OK);
    }
    assert_as_at_first();
}

static void test_take_any_gathers_what_is_left(void **state)
{
    (void)state;
    add_memory(2 * MIB, 8 * PAGE_SIZE, BOOT_MEMORY_USABLE);
    add_memory(4 * MIB, 5 * PAGE_SIZE, BOOT_MEMORY_USABLE);
    add_memory(6 * MIB, 3 * PAGE_SIZE, BOOT_MEMORY_USABLE);
    assert_int_equal(frame_allocator_init(&boot, 0, 0), OK);
    OWNED(frames, frames);
    assert_int_equal(frame_allocator_take_any(17, SLOT(frames)), ERR_NO_MEMORY);
    assert_int_equal(frame_allocator_take_any(0, SLOT(frames)), ERR_INVALID_ARGUMENT);
    assert_int_equal(free_count(), 16);
    assert_int_equal(frame_allocator_take_any(14, SLOT(frames)), OK);
    assert_int_equal(frames_count(REF(frames)), 14);
    const struct frames *cursor = NULL;
    paddr_t start;
    uint64_t count;
    const paddr_t starts[] = {2 * MIB, 4 * MIB, 6 * MIB};
    const uint64_t counts[] = {8, 5, 1};
    for (unsigned i = 0; i < 3; i++) {
        assert_true(frames_next_range(REF(frames), &cursor, &start, &count));
        assert_int_equal(start, starts[i]);
        assert_int_equal(count, counts[i]);
        assert_true(frames_range_is_stale(cursor));
    }
    assert_false(frames_next_range(REF(frames), &cursor, &start, &count));
    frames_drop(SLOT(frames));
    assert_int_equal(free_count(), 16);
}

static void test_take_any_without_descriptors_gives_all_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        add_memory(2 * MIB + 2 * i * PAGE_SIZE, PAGE_SIZE, BOOT_MEMORY_USABLE);
    }
    assert_int_equal(frame_allocator_init(&boot, 0, 0), OK);
    void *hoard = NULL; /* blocks, linked by their first word */
    while (descriptor_pool_available() > 1) {
        void *block = descriptor_pool_get();
        *(void **)block = hoard;
        hoard = block;
    }
    struct frames *frames = NULL;
    assert_int_equal(frame_allocator_take_any(10, &frames), ERR_NO_MEMORY);
    assert_int_equal(frame_allocator_take(2, 1, &frames), ERR_NO_MEMORY);
    assert_int_equal(frame_allocator_take_top(1, &frames), ERR_NO_MEMORY);
    assert_int_equal(frame_allocator_take_at(2 * MIB, 1, &frames), ERR_NO_MEMORY);
    assert_null(frames);
    assert_int_equal(free_count(), 20);
    while (hoard) {
        void *block = hoard;
        hoard = *(void **)block;
        descriptor_pool_put(block);
    }
    assert_int_equal(frame_allocator_take_any(20, &frames), OK);
    frames_drop(&frames);
    assert_int_equal(free_count(), 20);
}

static void test_table_frames_go_back_in_any_order(void **state)
{
    (void)state;
    paddr_t tables[6];
    start_small_machine();
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(frame_allocator_take_table(&tables[i]), OK);
        assert_int_equal(tables[i], 64 * MIB - (i + 1) * PAGE_SIZE);
    }
    assert_int_equal(free_count(), 62 * MIB / PAGE_SIZE - 6);
    const unsigned order[] = {3, 0, 5, 1, 4, 2};
    for (unsigned i = 0; i < 6; i++) {
        frame_allocator_give_table(&tables[order[i]]);
    }
    assert_as_at_first();
    tables[0] = 32 * MIB;
    frame_allocator_give_table(&tables[0]); /* nobody has one */
    assert_int_equal(frame_allocator_statistics().bad_drops, 1);
}

/* ---- split and merge ---- */

static void test_split_and_merge_lose_nothing(void **state)
{
    (void)state;
    start_small_machine();
    {
        OWNED(frames, frames);
        OWNED(frames, rest);
        assert_int_equal(frame_allocator_take(10, 1, SLOT(frames)), OK);
        assert_int_equal(frames_split(REF(frames), 0, SLOT(rest)), ERR_OUT_OF_BOUNDS);
        assert_int_equal(frames_split(REF(frames), 10, SLOT(rest)), ERR_OUT_OF_BOUNDS);
        assert_int_equal(frames_split(REF(frames), 11, SLOT(rest)), ERR_OUT_OF_BOUNDS);
        assert_int_equal(frames_split(REF(frames), 4, SLOT(rest)), OK);
        assert_int_equal(frames_count(REF(frames)), 4);
        assert_int_equal(frames_count(REF(rest)), 6);
        assert_int_equal(frames_start(REF(rest)), frames_start(REF(frames)) + 4 * PAGE_SIZE);
        uint64_t before = descriptor_pool_in_use();
        assert_int_equal(frames_merge(REF(frames), SLOT(rest)), OK);
        assert_null(REF(rest));
        assert_int_equal(descriptor_pool_in_use(), before - 1); /* one range again */
        assert_int_equal(frames_count(REF(frames)), 10);
        assert_int_equal(frames_merge(REF(frames), SLOT(rest)), ERR_INVALID_ARGUMENT);

        assert_int_equal(frames_split(REF(frames), 4, SLOT(rest)), OK);
        assert_int_equal(frames_merge(REF(rest), SLOT(frames)), OK); /* the other way round */
        assert_int_equal(frames_count(REF(rest)), 10);
        assert_int_equal(frames_split(REF(rest), 6, SLOT(frames)), OK); /* between two ranges */
        assert_int_equal(frames_count(REF(frames)), 4);

        OWNED(frames, device);
        assert_int_equal(frame_allocator_take_at(0xfee00000, 1, SLOT(device)), OK);
        assert_int_equal(frames_merge(REF(frames), SLOT(device)), ERR_MISMATCH);
        assert_non_null(REF(device));
    }
    assert_as_at_first();
}

static void test_stale_and_clean_ranges_are_told_apart(void **state)
{
    (void)state;
    start_small_machine();
    {
        OWNED(frames, frames);
        OWNED(frames, rest);
        assert_int_equal(frame_allocator_take(4, 1, SLOT(frames)), OK);
        assert_int_equal(frames_split(REF(frames), 2, SLOT(rest)), OK);
        frames_set_clean(REF(frames));
        assert_false(frames_are_stale(REF(frames)));
        assert_true(frames_are_stale(REF(rest)));
        assert_int_equal(frames_merge(REF(frames), SLOT(rest)), OK);
        assert_true(frames_are_stale(REF(frames))); /* and still two ranges */
        const struct frames *cursor = NULL;
        paddr_t start;
        uint64_t count;
        assert_true(frames_next_range(REF(frames), &cursor, &start, &count));
        assert_false(frames_range_is_stale(cursor));
        assert_true(frames_next_range(REF(frames), &cursor, &start, &count));
        assert_true(frames_range_is_stale(cursor));
        frames_set_clean(REF(frames));
        assert_false(frames_are_stale(REF(frames)));
    }
    OWNED(frames, again);
    assert_int_equal(frame_allocator_take(4, 1, SLOT(again)), OK);
    assert_true(frames_are_stale(REF(again))); /* for it has had another owner */
}

/* ---- against a model ---- */

static unsigned choose(unsigned below)
{
    return (unsigned)rand() % below;
}

#define MODEL_FRAMES   (16 * 1024u)
#define MODEL_RESERVED 0xa0u
#define MODEL_LOW      512u
#define MODEL_SLOTS    300u
#define MODEL_TABLES   40u
#include "frame_model.h"

static void test_random_operations_match_the_model(void **state)
{
    (void)state;
    start_small_machine();
    srand(7);
    for (unsigned step = 0; step < 400000; step++) {
        model_step();
    }
    model_end();
    assert_as_at_first();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_init_leaves_out_low_memory_and_image, clear),
        cmocka_unit_test_setup(test_init_reserves_information_and_modules_by_whole_frames, clear),
        cmocka_unit_test_setup(test_usable_memory_counts_by_whole_frames_only, clear),
        cmocka_unit_test_setup(test_what_is_not_usable_wins_over_what_is, clear),
        cmocka_unit_test_setup(test_machine_without_memory_is_refused, clear),
        cmocka_unit_test_setup(test_memory_at_the_ends_of_the_address_space_is_cut, clear),
        cmocka_unit_test_setup(test_every_frame_of_random_maps_has_one_kind, clear),
        cmocka_unit_test_setup(test_take_has_the_alignment_that_was_asked_for, clear),
        cmocka_unit_test_setup(test_take_top_takes_the_highest, clear),
        cmocka_unit_test_setup(test_take_at_knows_owners_and_kinds, clear),
        cmocka_unit_test_setup(test_single_frame_that_came_back_can_be_taken_by_address, clear),
        cmocka_unit_test_setup(test_take_any_gathers_what_is_left, clear),
        cmocka_unit_test_setup(test_take_any_without_descriptors_gives_all_back, clear),
        cmocka_unit_test_setup(test_table_frames_go_back_in_any_order, clear),
        cmocka_unit_test_setup(test_split_and_merge_lose_nothing, clear),
        cmocka_unit_test_setup(test_stale_and_clean_ranges_are_told_apart, clear),
        cmocka_unit_test_setup(test_random_operations_match_the_model, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
