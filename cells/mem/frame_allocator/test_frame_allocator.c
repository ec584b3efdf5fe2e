/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "boot_info.h"
#include "frame_allocator.h"

#define MIB 0x100000ull

static struct boot_info boot;

static void add_memory(paddr_t start, uint64_t bytes, uint32_t kind)
{
    boot.memory[boot.memory_count++] =
        (struct boot_memory){.start = start, .bytes = bytes, .kind = kind};
}

static void add_module(paddr_t start, uint64_t bytes)
{
    boot.modules[boot.module_count++] = (struct boot_module){.start = start, .bytes = bytes};
}

static int clear(void **state)
{
    (void)state;
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
}

static void test_init_leaves_out_low_memory_and_image(void **state)
{
    (void)state;
    paddr_t frame;
    start_small_machine();
    assert_int_equal(frame_allocator_statistics().total, 62 * MIB / PAGE_SIZE);
    assert_int_equal(frame_allocator_statistics().free, 62 * MIB / PAGE_SIZE);
    assert_int_equal(frame_allocator_take(1, &frame), OK);
    assert_int_equal(frame, 2 * MIB);
}

static void test_init_reserves_information_and_modules_by_whole_frames(void **state)
{
    (void)state;
    paddr_t frame;
    boot.information_start = 2 * MIB + 0x10;
    boot.information_bytes = 0x1000; /* touches two frames */
    add_module(2 * MIB + 0x2000, 1);
    add_module(2 * MIB + 0x4000, 0); /* empty: nothing to keep */
    start_small_machine();
    assert_int_equal(frame_allocator_take(1, &frame), OK);
    assert_int_equal(frame, 2 * MIB + 0x3000);
    assert_int_equal(frame_allocator_take(1, &frame), OK);
    assert_int_equal(frame, 2 * MIB + 0x4000);
}

static void test_init_reserved_wins_where_ranges_overlap(void **state)
{
    (void)state;
    paddr_t frame;
    add_memory(16 * MIB + 0x800, 0x100, BOOT_MEMORY_ACPI_NVS);
    add_memory(16 * MIB, 0x3000, BOOT_MEMORY_USABLE);
    add_memory(16 * MIB + 0x1000, 0x2800, BOOT_MEMORY_USABLE); /* overlaps, ends inside a frame */
    assert_int_equal(frame_allocator_init(&boot, 0, 0), OK);
    assert_int_equal(frame_allocator_statistics().total, 2);
    assert_int_equal(frame_allocator_take(2, &frame), OK);
    assert_int_equal(frame, 16 * MIB + 0x1000);
}

static void test_init_memory_above_4_gib_is_used(void **state)
{
    (void)state;
    paddr_t frame;
    add_memory(0x100000000ull, 2 * PAGE_SIZE, BOOT_MEMORY_USABLE);
    add_memory(PHYSICAL_LIMIT - PAGE_SIZE, 4 * PAGE_SIZE, BOOT_MEMORY_USABLE);
    add_memory(UINT64_MAX - PAGE_SIZE, PAGE_SIZE, BOOT_MEMORY_RESERVED);
    assert_int_equal(frame_allocator_init(&boot, 0, 0), OK);
    assert_int_equal(frame_allocator_statistics().total, 3);
    assert_int_equal(frame_allocator_take(2, &frame), OK);
    assert_int_equal(frame, 0x100000000ull);
    assert_int_equal(frame_allocator_take(1, &frame), OK);
    assert_int_equal(frame, PHYSICAL_LIMIT - PAGE_SIZE);
}

static void test_init_no_usable_memory_is_an_error(void **state)
{
    (void)state;
    add_memory(0, 0x9f000, BOOT_MEMORY_USABLE);
    add_memory(4 * MIB, MIB, BOOT_MEMORY_RESERVED);
    assert_int_equal(frame_allocator_init(&boot, 0, 0), ERR_NO_MEMORY);
}

static void test_init_fragmented_uefi_map_is_taken_whole(void **state)
{
    (void)state;
    for (unsigned i = 0; i < BOOT_INFO_MEMORY_LIMIT; i++) {
        add_memory((4 + i) * MIB, MIB / 2, BOOT_MEMORY_USABLE);
    }
    assert_int_equal(frame_allocator_init(&boot, 0, 0), OK);
    assert_int_equal(frame_allocator_statistics().ranges, BOOT_INFO_MEMORY_LIMIT);
}

static void test_take_all_then_give_back_in_pieces_restores(void **state)
{
    (void)state;
    paddr_t frame;
    size_t count = 62 * MIB / PAGE_SIZE;
    start_small_machine();
    assert_int_equal(frame_allocator_take(count + 1, &frame), ERR_NO_MEMORY);
    assert_int_equal(frame_allocator_take(count, &frame), OK);
    assert_int_equal(frame_allocator_take(1, &frame), ERR_NO_MEMORY);
    for (size_t i = 1; i < count; i += 2) {
        enum status expected = i / 2 < FRAME_ALLOCATOR_RANGES ? OK : ERR_LIMIT;
        assert_int_equal(frame_allocator_give_back(2 * MIB + i * PAGE_SIZE, 1), expected);
    }
    assert_int_equal(frame_allocator_statistics().free, FRAME_ALLOCATOR_RANGES);
    assert_int_equal(frame_allocator_statistics().lost, count / 2 - FRAME_ALLOCATOR_RANGES);
    assert_int_equal(frame_allocator_give_back(2 * MIB, 1), OK);
    assert_int_equal(frame_allocator_statistics().ranges, FRAME_ALLOCATOR_RANGES);
}

static void test_take_top_takes_the_highest_until_none_is_left(void **state)
{
    (void)state;
    paddr_t frame;
    start_small_machine();
    assert_int_equal(frame_allocator_take_top(&frame), OK);
    assert_int_equal(frame, 64 * MIB - PAGE_SIZE);
    assert_int_equal(frame_allocator_take_top(&frame), OK);
    assert_int_equal(frame, 64 * MIB - 2 * PAGE_SIZE);
    assert_int_equal(frame_allocator_give_back(frame, 2), OK);
    assert_int_equal(frame_allocator_take(62 * MIB / PAGE_SIZE, &frame), OK);
    assert_int_equal(frame_allocator_take_top(&frame), ERR_NO_MEMORY);
}

static void test_give_back_wrong_frames_is_refused(void **state)
{
    (void)state;
    paddr_t frame;
    start_small_machine();
    assert_int_equal(frame_allocator_take(4, &frame), OK);
    assert_int_equal(frame_allocator_give_back(frame + 1, 1), ERR_MISALIGNED);
    assert_int_equal(frame_allocator_give_back(MIB, 1), ERR_OUT_OF_BOUNDS);
    assert_int_equal(frame_allocator_give_back(64 * MIB, 1), ERR_OUT_OF_BOUNDS);
    assert_int_equal(frame_allocator_give_back(frame, 0), ERR_OUT_OF_BOUNDS);
    assert_int_equal(frame_allocator_give_back(frame, 5), ERR_EXISTS);
    assert_int_equal(frame_allocator_give_back(frame, 4), OK);
    assert_int_equal(frame_allocator_give_back(frame, 1), ERR_EXISTS);
    assert_int_equal(frame_allocator_statistics().free, frame_allocator_statistics().total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_init_leaves_out_low_memory_and_image, clear),
        cmocka_unit_test_setup(test_init_reserves_information_and_modules_by_whole_frames, clear),
        cmocka_unit_test_setup(test_init_reserved_wins_where_ranges_overlap, clear),
        cmocka_unit_test_setup(test_init_memory_above_4_gib_is_used, clear),
        cmocka_unit_test_setup(test_init_no_usable_memory_is_an_error, clear),
        cmocka_unit_test_setup(test_init_fragmented_uefi_map_is_taken_whole, clear),
        cmocka_unit_test_setup(test_take_all_then_give_back_in_pieces_restores, clear),
        cmocka_unit_test_setup(test_take_top_takes_the_highest_until_none_is_left, clear),
        cmocka_unit_test_setup(test_give_back_wrong_frames_is_refused, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
