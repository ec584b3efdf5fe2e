/* SPDX-License-Identifier: MIT */
/* The arithmetic, and what is refused before any table is touched; the boot tests do the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "frame_allocator.h"
#include "page_table.h"
#include "page_table_priv.h"

enum status frame_allocator_take_top(paddr_t *out_frame)
{
    (void)out_frame;
    return ERR_NO_MEMORY;
}

static void test_windows_are_where_the_address_map_says(void **state)
{
    (void)state;
    assert_int_equal(address_of(SLOT_SHOW, 0, 0, 0), DATA_ZONE_END);
    assert_int_equal(address_of(SLOT_UPPER_HALF, 0, 0, 0), DATA_ZONE_START);
    assert_int_equal(address_of(511, 510, 0, 0), KERNEL_BASE);
    assert_int_equal(address_of(255, 511, 511, 511), 0x00007ffffffff000);
    assert_int_equal(table_at(SLOT_SELF, 4, 0), 0xffffff7fbfdfe000);
    assert_int_equal(table_at(SLOT_SELF, 1, 0), 0xffffff0000000000);
    assert_int_equal(table_at(SLOT_SELF, 1, 0xfffffffffffff000), 0xffffff7ffffff000);
}

/* Walks as the CPU does, over tables that are told apart by a number, and says where it ends. */
struct walk {
    unsigned level; /* of the table that is seen; 0 is the page itself */
    unsigned indices[4];
    unsigned depth;
    bool other; /* in the tables that SLOT_BUILD selects */
};

static struct walk walk(vaddr_t address)
{
    struct walk walk = {.level = 4};
    for (unsigned step = 4; step > 0; step--) {
        unsigned index = index_at(step, address);
        if (walk.depth == 0 && index == SLOT_SELF) {
            continue; /* the root again */
        }
        if (walk.depth == 0 && !walk.other && index == SLOT_BUILD) {
            walk.other = true;
            continue;
        }
        walk.indices[walk.depth++] = index;
        walk.level--;
    }
    return walk;
}

static void assert_table_is_seen(unsigned root, unsigned level, vaddr_t page)
{
    struct walk seen = walk(table_at(root, level, page));
    assert_int_equal(seen.level, level);
    assert_int_equal(seen.other, root == SLOT_BUILD);
    for (unsigned i = 0; i < seen.depth; i++) {
        assert_int_equal(seen.indices[i], index_at(4 - i, page));
    }
}

static void test_walk_of_a_window_address_ends_in_its_table(void **state)
{
    (void)state;
    srand(1);
    for (int i = 0; i < 2000; i++) {
        unsigned slot = 256 + (unsigned)rand() % 252;
        vaddr_t page = address_of(i % 2 ? slot : 511, (unsigned)rand() % 512,
                                  (unsigned)rand() % 512, (unsigned)rand() % 512);
        for (unsigned level = 1; level <= LEVELS; level++) {
            assert_table_is_seen(SLOT_SELF, level, page);
            assert_table_is_seen(SLOT_BUILD, level, page);
        }
    }
}

static void test_entry_round_trip_keeps_frame_and_flags(void **state)
{
    (void)state;
    const paddr_t frames[] = {0, 0x1000, 0x123456789000, PHYSICAL_LIMIT - PAGE_SIZE};
    for (unsigned flags = 0; flags <= PAGE_FLAGS_ALL; flags++) {
        for (size_t i = 0; i < ARRAY_COUNT(frames); i++) {
            uint64_t entry = entry_of(frames[i], flags);
            assert_true(entry & ENTRY_PRESENT);
            assert_int_equal(frame_of(entry), frames[i]);
            assert_int_equal(flags_of(entry), flags);
        }
    }
    /* Intel SDM, "Format of an Entry that Maps a 4-KByte Page" */
    assert_int_equal(entry_of(0x5000, PAGE_READ), 0x8000000000005001);
    assert_int_equal(entry_of(0x5000, PAGE_EXECUTE), 0x5001);
    assert_int_equal(entry_of(0x5000, PAGE_WRITE | PAGE_UNCACHED), 0x800000000000501b);
}

static void test_only_the_upper_half_without_windows_is_mappable(void **state)
{
    (void)state;
    assert_false(is_mappable(0));
    assert_false(is_mappable(0x00007ffffffff000));
    assert_false(is_mappable(0x0000800000000000)); /* not canonical */
    assert_false(is_mappable(0xffff7ffffffff000)); /* not canonical */
    assert_true(is_mappable(DATA_ZONE_START));
    assert_true(is_mappable(DATA_ZONE_END - PAGE_SIZE));
    assert_false(is_mappable(DATA_ZONE_END));
    assert_false(is_mappable(0xffffff7ffffff000));
    assert_true(is_mappable(0xffffff8000000000));
    assert_true(is_mappable(CODE_ZONE_START));
    assert_true(is_mappable(0xfffffffffffff000));
}

static void test_before_init_everything_is_refused(void **state)
{
    (void)state;
    paddr_t frame = 1;
    assert_int_equal(page_table_map(CODE_ZONE_START, 0, PAGE_READ), ERR_STATE);
    assert_int_equal(page_table_unmap(CODE_ZONE_START, &frame), ERR_STATE);
    assert_int_equal(page_table_protect(CODE_ZONE_START, PAGE_READ), ERR_STATE);
    assert_false(page_table_find(CODE_ZONE_START, &frame, NULL));
    assert_int_equal(frame, 1);
    assert_int_equal(page_table_init(NULL, 0), ERR_NO_MEMORY);
    assert_int_equal(page_table_frame_count(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_are_where_the_address_map_says),
        cmocka_unit_test(test_walk_of_a_window_address_ends_in_its_table),
        cmocka_unit_test(test_entry_round_trip_keeps_frame_and_flags),
        cmocka_unit_test(test_only_the_upper_half_without_windows_is_mappable),
        cmocka_unit_test(test_before_init_everything_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
