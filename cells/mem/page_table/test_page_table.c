/* SPDX-License-Identifier: MIT */
/*
 * First the arithmetic; then everything else on an MMU made of a few frames: it walks the tables as
 * the CPU does, and like a TLB it keeps what it once found until it is told to forget.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "frame_allocator.h"
#include "page_table.h"
#include "page_table_priv.h"
#include "x86.h"

#define SIMULATED_FRAMES 400
#include "simulated_mmu.h"

/* ---- the machine ---- */

#define FIRST_FREE 2

static bool is_taken[SIMULATED_FRAMES];
static size_t taken_count;
static size_t taken_limit = SIMULATED_FRAMES;

enum status frame_allocator_take_table(paddr_t *out_frame)
{
    if (taken_count >= taken_limit) {
        return ERR_NO_MEMORY;
    }
    size_t frame = FIRST_FREE;
    while (is_taken[frame]) {
        frame++;
        assert_true(frame < SIMULATED_FRAMES);
    }
    is_taken[frame] = true;
    taken_count++;
    memset(memory[frame], 0xff, PAGE_SIZE); /* left over from somebody else */
    *out_frame = frame * PAGE_SIZE;
    return OK;
}

void frame_allocator_give_table(paddr_t *given)
{
    paddr_t frame = *given;
    *given = 0;
    assert_true(is_taken[frame / PAGE_SIZE]);
    is_taken[frame / PAGE_SIZE] = false;
    taken_count--;
    memset(memory[frame / PAGE_SIZE], 0xff, PAGE_SIZE); /* its next owner */
}

/*
 * Counts what can be reached: `tables`, and whether each entry that points to one knows how many of
 * its entries are present.
 */
static unsigned check_tables(paddr_t table, unsigned level, size_t *tables)
{
    unsigned used = 0;
    (*tables)++;
    assert_true(table == cr3 || is_taken[table / PAGE_SIZE]);
    for (unsigned i = 0; i < ENTRY_COUNT; i++) {
        uint64_t entry = frame_at(table)[i];
        if (!(entry & ENTRY_PRESENT)) {
            assert_int_equal(entry, 0);
            continue;
        }
        used++;
        bool is_page = level == 1 || (level == 2 && is_large(entry));
        if (!is_page && !(level == LEVELS && i == SLOT_SELF)) {
            unsigned below = check_tables(frame_of(entry), level - 1, tables);
            assert_true(below > 0); /* empty ones are not kept */
            assert_int_equal(used_of(entry), below);
        }
    }
    return used;
}

static void assert_nothing_is_lost(void)
{
    size_t tables = 0;
    check_tables(cr3, LEVELS, &tables);
    struct page_table_statistics statistics = page_table_statistics();
    assert_int_equal(statistics.tables, tables);
    assert_int_equal(statistics.tables + statistics.spares, taken_count);
    assert_true(statistics.spares <= PAGE_TABLE_SPARES);
}

static void assert_mapped(vaddr_t page, paddr_t frame, unsigned flags)
{
    uint64_t entry = translate(page);
    assert_true(entry & ENTRY_PRESENT);
    assert_int_equal(frame_of(entry), frame);
    assert_int_equal(flags_of(entry), flags);
    paddr_t found_frame;
    unsigned found_flags;
    assert_true(page_table_find(page + 123, &found_frame, &found_flags));
    assert_int_equal(found_frame, frame);
    assert_int_equal(found_flags, flags);
    assert_true(page_table_find_stopped(page + 123, &found_frame, NULL));
    assert_int_equal(found_frame, frame);
}

static void assert_not_mapped(vaddr_t page)
{
    assert_int_equal(translate(page), 0);
    assert_false(page_table_find(page, NULL, NULL));
    assert_false(page_table_find_stopped(page, NULL, NULL));
}

/* ---- arithmetic ---- */

static void test_windows_are_where_the_address_map_says(void **state)
{
    (void)state;
    assert_int_equal(address_of(SLOT_SHOW, 0, 0, 0), DATA_ZONE_END);
    assert_int_equal(address_of(SLOT_UPPER_HALF, 0, 0, 0), DATA_ZONE_START);
    assert_int_equal(address_of(511, 510, 0, 0), KERNEL_BASE);
    assert_int_equal(address_of(255, 511, 511, 511), 0x00007ffffffff000);
    assert_int_equal(table_address(SLOT_SELF, 4, 0), 0xffffff7fbfdfe000);
    assert_int_equal(table_address(SLOT_SELF, 1, 0), 0xffffff0000000000);
    assert_int_equal(table_address(SLOT_SELF, 1, 0xfffffffffffff000), 0xffffff7ffffff000);
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
    struct walk seen = walk(table_address(root, level, page));
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
            uint64_t entry = frames[i] | bits_of(flags);
            assert_true(entry & ENTRY_PRESENT);
            assert_int_equal(frame_of(entry), frames[i]);
            bool both = (flags & PAGE_WRITE) && (flags & PAGE_EXECUTE);
            assert_int_equal(flags_of(entry), both ? flags - PAGE_EXECUTE : flags);
        }
    }
    /* Intel SDM, "Format of an Entry that Maps a 4-KByte Page" */
    assert_int_equal(0x5000 | bits_of(PAGE_READ), 0x8000000000005001);
    assert_int_equal(0x5000 | bits_of(PAGE_EXECUTE), 0x5001);
    assert_int_equal(0x5000 | bits_of(PAGE_WRITE | PAGE_UNCACHED), 0x800000000000501b);
}

static void test_only_the_upper_half_without_windows_is_mappable(void **state)
{
    (void)state;
    assert_false(is_mappable(0, 1));
    assert_false(is_mappable(0x00007ffffffff000, 1));
    assert_false(is_mappable(0x0000800000000000, 1)); /* not canonical */
    assert_false(is_mappable(0xffff7ffffffff000, 1)); /* not canonical */
    assert_true(is_mappable(DATA_ZONE_START, 1));
    assert_true(is_mappable(DATA_ZONE_END - PAGE_SIZE, 1));
    assert_false(is_mappable(DATA_ZONE_END, 1));
    assert_false(is_mappable(0xffffff7ffffff000, 1));
    assert_true(is_mappable(0xffffff8000000000, 1));
    assert_true(is_mappable(CODE_ZONE_START, 1));
    assert_true(is_mappable(0xfffffffffffff000, 1));

    assert_false(is_mappable(DATA_ZONE_START, 0));
    assert_true(is_mappable(DATA_ZONE_START, (DATA_ZONE_END - DATA_ZONE_START) / PAGE_SIZE));
    assert_false(is_mappable(DATA_ZONE_START, (DATA_ZONE_END - DATA_ZONE_START) / PAGE_SIZE + 1));
    assert_false(is_mappable(DATA_ZONE_END - PAGE_SIZE, 3ull << 27)); /* across the windows */
    assert_false(is_mappable(DATA_ZONE_END - PAGE_SIZE, (3ull << 27) + 2));
    assert_false(is_mappable(DATA_ZONE_START, 1ull << 52));
    assert_false(is_mappable(DATA_ZONE_START, UINT64_MAX));
    assert_true(is_mappable(CODE_ZONE_START, (0 - CODE_ZONE_START) / PAGE_SIZE));
    assert_false(is_mappable(CODE_ZONE_START, (0 - CODE_ZONE_START) / PAGE_SIZE + 1));
}

static void test_different_pages_have_different_entries(void **state)
{
    (void)state;
    srand(2);
    for (int i = 0; i < 20000; i++) {
        vaddr_t a = DATA_ZONE_START + ((uint64_t)rand() << 12);
        vaddr_t b =
            i % 2 ? a ^ (1ull << (12 + rand() % 36)) : DATA_ZONE_START + ((uint64_t)rand() << 12);
        b |= UPPER_BITS;
        assert_int_equal(entry_address(SLOT_SELF, 1, a) == entry_address(SLOT_SELF, 1, b), a == b);
        assert_int_equal(entry_address(SLOT_SELF, 2, a) == entry_address(SLOT_SELF, 2, b),
                         a / LARGE_SIZE == b / LARGE_SIZE);
        assert_int_equal(index_at(4, entry_address(SLOT_SELF, 1, a)), SLOT_SELF);
    }
}

/* ---- tables ---- */

static const struct page_region image[] = {
    {.start = KERNEL_BASE + 0x100000, .frame = 0x100000, .page_count = 3, .flags = PAGE_EXECUTE},
    {.start = KERNEL_BASE + 0x103000, .frame = 0x103000, .page_count = 600, .flags = PAGE_WRITE},
};

static void test_before_init_everything_is_refused(void **state)
{
    (void)state;
    paddr_t frame = 1;
    assert_int_equal(page_table_map(CODE_ZONE_START, 0, 1, PAGE_READ), ERR_STATE);
    assert_int_equal(page_table_unmap(CODE_ZONE_START, 1), ERR_STATE);
    assert_int_equal(page_table_protect(CODE_ZONE_START, 1, PAGE_READ), ERR_STATE);
    assert_int_equal(page_table_cut(CODE_ZONE_START), ERR_STATE);
    assert_false(page_table_find(CODE_ZONE_START, &frame, NULL));
    assert_int_equal(frame, 1);
    assert_int_equal(page_table_statistics().tables, 0);
}

static void assert_boot_tables(void)
{
    assert_int_equal(cr3, BOOT_ROOT);
    assert_int_equal(memory[1][SLOT_BUILD], 0);
    assert_int_equal(memory[1][SLOT_SHOW], 0);
    assert_int_equal(memory[1][SLOT_SELF], BOOT_ROOT | ENTRY_TABLE);
    assert_int_equal(page_table_statistics().tables, 0);
    assert_int_equal(page_table_statistics().spares, taken_count);
}

static void test_init_failing_at_any_frame_keeps_the_old_tables(void **state)
{
    (void)state;
    /* root, two upper tables, and two tables for 603 pages */
    for (size_t count = 0; count < 5; count++) {
        taken_limit = count;
        assert_int_equal(page_table_init(image, ARRAY_COUNT(image)), ERR_NO_MEMORY);
        assert_boot_tables();
    }
    struct page_region both = {.start = KERNEL_BASE, .page_count = 1, .flags = 3};
    taken_limit = SIMULATED_FRAMES;
    assert_int_equal(page_table_init(&both, 1), ERR_PERMISSION);
    struct page_region twice[] = {image[0], image[1], image[0]};
    assert_int_equal(page_table_init(twice, ARRAY_COUNT(twice)), ERR_EXISTS);
    assert_boot_tables();
}

static void test_init_maps_the_regions_and_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(page_table_init(image, ARRAY_COUNT(image)), OK);
    assert_int_not_equal(cr3, BOOT_ROOT);
    assert_int_equal(page_table_statistics().tables, 5);
    for (size_t r = 0; r < ARRAY_COUNT(image); r++) {
        for (size_t i = 0; i < image[r].page_count; i++) {
            assert_mapped(image[r].start + i * PAGE_SIZE, image[r].frame + i * PAGE_SIZE,
                          image[r].flags);
        }
    }
    assert_not_mapped(KERNEL_BASE + 0xff000);
    assert_not_mapped(KERNEL_BASE + 0x35b000);
    const uint64_t *root = frame_at(cr3);
    for (unsigned slot = 0; slot < ENTRY_COUNT; slot++) {
        assert_int_equal(root[slot] != 0, slot == SLOT_SELF || slot == 511);
    }
    assert_int_equal(root[SLOT_SELF], cr3 | ENTRY_SLOT);
    assert_int_equal(page_table_init(image, ARRAY_COUNT(image)), ERR_STATE);
    assert_nothing_is_lost();
}

static void test_map_protect_unmap_are_seen_at_once(void **state)
{
    (void)state;
    const vaddr_t page = CODE_ZONE_START + 5 * PAGE_SIZE;
    assert_not_mapped(page);
    assert_int_equal(page_table_map(page, 0x7000, 1, PAGE_WRITE), OK);
    assert_mapped(page, 0x7000, PAGE_WRITE);
    assert_int_equal(page_table_map(page, 0x8000, 1, PAGE_WRITE), ERR_EXISTS);
    assert_int_equal(page_table_protect(page, 1, PAGE_EXECUTE), OK);
    assert_mapped(page, 0x7000, PAGE_EXECUTE);
    assert_int_equal(page_table_unmap(page, 1), OK);
    assert_not_mapped(page);
    assert_int_equal(page_table_unmap(page, 1), ERR_NOT_FOUND);
    assert_int_equal(page_table_protect(page, 1, PAGE_READ), ERR_NOT_FOUND);
    assert_int_equal(page_table_unmap(DATA_ZONE_END - PAGE_SIZE, 1), ERR_NOT_FOUND);
    assert_int_equal(page_table_protect(DATA_ZONE_END - PAGE_SIZE, 1, 0), ERR_NOT_FOUND);
    assert_nothing_is_lost();
}

/* Pages of the table that was worked on last go a shorter way; it must not differ. */
static void test_pages_of_the_known_table_are_like_others(void **state)
{
    (void)state;
    const vaddr_t first = CODE_ZONE_START + 8 * PAGE_SIZE;
    const vaddr_t page = first + PAGE_SIZE;
    assert_int_equal(page_table_map(first, 0x7000, 1, PAGE_WRITE), OK);
    for (unsigned flags = 0; flags <= PAGE_FLAGS_ALL; flags++) {
        bool is_wrong = (flags & PAGE_WRITE) && (flags & PAGE_EXECUTE);
        enum status expected = is_wrong ? ERR_PERMISSION : OK;
        assert_int_equal(page_table_map(page, 0x8000, 1, flags), expected);
        if (is_wrong) {
            assert_not_mapped(page);
            assert_int_equal(page_table_protect(first, 1, flags), ERR_PERMISSION);
            continue;
        }
        assert_mapped(page, 0x8000, flags);
        assert_int_equal(page_table_protect(first, 1, flags), OK);
        assert_mapped(first, 0x7000, flags);
        assert_int_equal(page_table_map(page, 0x9000, 1, flags), ERR_EXISTS);
        assert_int_equal(page_table_unmap(page, 1), OK);
        assert_not_mapped(page);
    }
    assert_int_equal(page_table_map(page, 0x8000, 1, PAGE_FLAGS_ALL + 1), ERR_INVALID_ARGUMENT);
    assert_int_equal(page_table_map(page, 0x8001, 1, PAGE_READ), ERR_MISALIGNED);
    assert_int_equal(page_table_map(page, PHYSICAL_LIMIT, 1, PAGE_READ), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_map(page + 1, 0x8000, 1, PAGE_READ), ERR_MISALIGNED);
    assert_int_equal(page_table_map(page, 0x8000, 0, PAGE_READ), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_unmap(page, 1), ERR_NOT_FOUND);
    assert_int_equal(page_table_protect(page, 1, PAGE_READ), ERR_NOT_FOUND);
    assert_int_equal(page_table_unmap(first, 1), OK); /* and with it the table */
    assert_int_equal(page_table_unmap(first, 1), ERR_NOT_FOUND);
    assert_int_equal(page_table_map(first, 0x7000, 1, PAGE_READ), OK);
    assert_mapped(first, 0x7000, PAGE_READ);
    assert_int_equal(page_table_unmap(first, 1), OK);
    assert_nothing_is_lost();
}

static void test_wrong_arguments_are_refused(void **state)
{
    (void)state;
    const vaddr_t page = CODE_ZONE_START;
    const unsigned both = PAGE_WRITE | PAGE_EXECUTE;
    uint64_t before = page_table_statistics().tables;
    const uint64_t too_many = (PHYSICAL_LIMIT >> PAGE_SHIFT) - 7;
    assert_int_equal(page_table_map(page, 0x7000, 1, both), ERR_PERMISSION);
    assert_int_equal(page_table_map(page, 0x7000, 1, 8), ERR_INVALID_ARGUMENT);
    assert_int_equal(page_table_map(page + 1, 0x7000, 1, 0), ERR_MISALIGNED);
    assert_int_equal(page_table_map(page, 0x7001, 1, 0), ERR_MISALIGNED);
    assert_int_equal(page_table_map(page, PHYSICAL_LIMIT, 1, 0), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_map(page, PHYSICAL_LIMIT - PAGE_SIZE, 2, 0), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_map(page, 0x7000, 0, 0), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_map(page, 0x7000, UINT64_MAX, 0), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_map(DATA_ZONE_START, 0x8000, too_many, 0), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_map(0, 0x7000, 1, 0), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_map(DATA_ZONE_END, 0x7000, 1, 0), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_map(DATA_ZONE_END - PAGE_SIZE, 0x7000, 2, 0), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_unmap(DATA_ZONE_END, 1), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_unmap(page, 0), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_unmap(page + 8, 1), ERR_MISALIGNED);
    assert_int_equal(page_table_protect(table_address(SLOT_SELF, 4, 0), 1, 0), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_protect(image[0].start, 1, both), ERR_PERMISSION);
    assert_int_equal(page_table_cut(page + 8), ERR_MISALIGNED);
    assert_int_equal(page_table_cut(DATA_ZONE_END), ERR_OUT_OF_BOUNDS);
    assert_mapped(image[0].start, image[0].frame, PAGE_EXECUTE);
    assert_int_equal(page_table_statistics().tables, before);
}

/* Gives the spare tables away by taking all of them. */
static void use_up_spares(vaddr_t scratch)
{
    for (size_t i = 0; page_table_statistics().spares > 0; i++) {
        assert_int_equal(page_table_map(scratch + i * LARGE_SIZE, 0x1000, 1, PAGE_READ), OK);
    }
}

static void release_scratch(vaddr_t scratch)
{
    for (size_t i = 0; page_table_unmap(scratch + i * LARGE_SIZE, 1) == OK; i++) {
    }
}

static void test_map_without_a_frame_for_a_table_fails_and_works_later(void **state)
{
    (void)state;
    const vaddr_t page = address_of(300, 1, 2, 3);
    const vaddr_t scratch = address_of(310, 0, 0, 0);
    for (size_t missing = 3; missing > 0; missing--) {
        use_up_spares(scratch);
        taken_limit = taken_count + (3 - missing); /* one more table each time */
        uint64_t before = page_table_statistics().tables;
        assert_int_equal(page_table_map(page, 0x9000, 1, PAGE_READ), ERR_NO_MEMORY);
        assert_not_mapped(page);
        assert_int_equal(page_table_statistics().tables, before);
        taken_limit = SIMULATED_FRAMES;
        release_scratch(scratch);
        assert_nothing_is_lost();
    }
    assert_int_equal(page_table_map(page, 0x9000, 1, PAGE_READ), OK);
    assert_mapped(page, 0x9000, PAGE_READ);
    assert_int_equal(page_table_unmap(page, 1), OK);
    assert_nothing_is_lost();
}

/* ---- runs ---- */

#define RUN   address_of(320, 7, 100, 0)
#define FRAME 0x40000000ull

static void assert_run(vaddr_t page, paddr_t frame, uint64_t count, unsigned flags)
{
    for (uint64_t i = 0; i < count; i++) {
        assert_mapped(page + i * PAGE_SIZE, frame + i * PAGE_SIZE, flags);
    }
}

static void assert_no_run(vaddr_t page, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        assert_not_mapped(page + i * PAGE_SIZE);
    }
}

static void test_aligned_run_takes_one_entry_for_2_mib(void **state)
{
    (void)state;
    uint64_t before = page_table_statistics().tables;
    assert_int_equal(page_table_map(RUN, FRAME, 3 * 512 + 5, PAGE_WRITE), OK);
    assert_int_equal(page_table_statistics().tables, before + 3); /* two above, one below */
    assert_run(RUN, FRAME, 3 * 512 + 5, PAGE_WRITE);
    assert_not_mapped(RUN - PAGE_SIZE);
    assert_not_mapped(RUN + (3 * 512 + 5) * PAGE_SIZE);
    assert_int_equal(page_table_map(RUN + 700 * PAGE_SIZE, FRAME, 1, 0), ERR_EXISTS);
    assert_int_equal(page_table_map(RUN + LARGE_SIZE, FRAME, 512, 0), ERR_EXISTS);
    assert_int_equal(page_table_protect(RUN, 3 * 512 + 5, PAGE_READ), OK);
    assert_run(RUN, FRAME, 3 * 512 + 5, PAGE_READ);
    assert_int_equal(page_table_statistics().tables, before + 3); /* nothing was split */
    assert_int_equal(page_table_unmap(RUN, 3 * 512 + 5), OK);
    assert_no_run(RUN, 3 * 512 + 5);
    assert_int_equal(page_table_statistics().tables, before);
    assert_nothing_is_lost();
}

static void test_run_whose_frames_are_not_aligned_takes_small_entries(void **state)
{
    (void)state;
    uint64_t before = page_table_statistics().tables;
    assert_int_equal(page_table_map(RUN, FRAME + PAGE_SIZE, 1024, PAGE_READ), OK);
    assert_int_equal(page_table_statistics().tables, before + 4);
    assert_run(RUN, FRAME + PAGE_SIZE, 1024, PAGE_READ);
    assert_int_equal(page_table_unmap(RUN, 1024), OK);
    assert_int_equal(page_table_statistics().tables, before);
}

static void test_part_of_2_mib_is_split_off(void **state)
{
    (void)state;
    assert_int_equal(page_table_map(RUN, FRAME, 1024, PAGE_WRITE), OK);
    assert_int_equal(page_table_protect(RUN + 10 * PAGE_SIZE, 20, PAGE_EXECUTE), OK);
    assert_run(RUN, FRAME, 10, PAGE_WRITE);
    assert_run(RUN + 10 * PAGE_SIZE, FRAME + 10 * PAGE_SIZE, 20, PAGE_EXECUTE);
    assert_run(RUN + 30 * PAGE_SIZE, FRAME + 30 * PAGE_SIZE, 994, PAGE_WRITE);
    assert_int_equal(page_table_unmap(RUN + 500 * PAGE_SIZE, 100), OK); /* an end in each */
    assert_run(RUN + 30 * PAGE_SIZE, FRAME + 30 * PAGE_SIZE, 470, PAGE_WRITE);
    assert_no_run(RUN + 500 * PAGE_SIZE, 100);
    assert_run(RUN + 600 * PAGE_SIZE, FRAME + 600 * PAGE_SIZE, 424, PAGE_WRITE);
    assert_nothing_is_lost();
    assert_int_equal(page_table_unmap(RUN, 1024), ERR_NOT_FOUND); /* and ends the others */
    assert_no_run(RUN, 1024);
    assert_nothing_is_lost();
}

static void test_split_without_a_frame_changes_nothing(void **state)
{
    (void)state;
    const vaddr_t scratch = address_of(310, 0, 0, 0);
    assert_int_equal(page_table_map(RUN, FRAME, 1024, PAGE_WRITE), OK);
    use_up_spares(scratch);
    for (size_t allowed = 0; allowed < 2; allowed++) {
        taken_limit = taken_count + allowed;
        assert_int_equal(page_table_unmap(RUN + PAGE_SIZE, 1022), ERR_NO_MEMORY);
        assert_int_equal(page_table_protect(RUN + PAGE_SIZE, 1022, 0), ERR_NO_MEMORY);
        assert_run(RUN, FRAME, 1024, PAGE_WRITE);
    }
    taken_limit = taken_count;
    assert_int_equal(page_table_cut(RUN + PAGE_SIZE), ERR_NO_MEMORY);
    assert_int_equal(page_table_cut(RUN + LARGE_SIZE), OK); /* entries end there anyway */
    taken_limit = SIMULATED_FRAMES;
    assert_int_equal(page_table_cut(RUN + PAGE_SIZE), OK);
    taken_limit = taken_count;
    assert_int_equal(page_table_unmap(RUN, 1), OK);
    taken_limit = SIMULATED_FRAMES;
    assert_run(RUN + PAGE_SIZE, FRAME + PAGE_SIZE, 1023, PAGE_WRITE);
    assert_int_equal(page_table_unmap(RUN + PAGE_SIZE, 1023), OK);
    release_scratch(scratch);
    assert_nothing_is_lost();
}

static void test_map_failing_in_the_middle_maps_nothing(void **state)
{
    (void)state;
    const vaddr_t scratch = address_of(310, 0, 0, 0);
    assert_int_equal(page_table_map(RUN + 1500 * PAGE_SIZE, 0x5000, 1, PAGE_READ), OK);
    assert_int_equal(page_table_map(RUN, FRAME, 2000, PAGE_READ), ERR_EXISTS);
    assert_no_run(RUN, 1500);
    assert_int_equal(page_table_unmap(RUN + 1500 * PAGE_SIZE, 1), OK);
    for (size_t allowed = 0; allowed < 6; allowed++) {
        use_up_spares(scratch);
        taken_limit = taken_count + allowed;
        assert_int_equal(page_table_map(RUN, FRAME + PAGE_SIZE, 2000, PAGE_READ),
                         ERR_NO_MEMORY); /* needs six tables, the upper two included */
        assert_no_run(RUN, 2000);
        taken_limit = SIMULATED_FRAMES;
        assert_nothing_is_lost();
        release_scratch(scratch);
    }
}

/* ---- forgetting ---- */

static size_t told;
static vaddr_t told_page;
static uint64_t told_count;
static size_t taken_when_told;

static void note_shootdown(vaddr_t page, uint64_t count)
{
    if (told++ == 0) {
        told_page = page;
        told_count = count;
    }
    taken_when_told = taken_count;
}

static void test_a_few_pages_are_forgotten_by_themselves(void **state)
{
    (void)state;
    assert_int_equal(page_table_map(RUN, FRAME, 100, PAGE_WRITE), OK);
    size_t reloads = cr3_count;
    size_t single = invlpg_count;
    assert_int_equal(page_table_protect(RUN, 32, PAGE_READ), OK);
    assert_int_equal(cr3_count, reloads);
    assert_int_equal(invlpg_count, single + 32);
    assert_int_equal(page_table_protect(RUN, 33, PAGE_READ), OK);
    assert_int_equal(cr3_count, reloads + 1);
    assert_int_equal(invlpg_count, single + 32);
    assert_int_equal(page_table_unmap(RUN, 100), OK);
}

struct looks {
    uint64_t entries;
    uint64_t pages;      /* of 4 KiB, that were told */
    uint64_t inside;     /* of the run below */
    uint64_t write_also; /* this page is written while it is told; 0: none */
};

/* As the CPU notes it in the entry. */
static void write_to(vaddr_t page)
{
    *(uint64_t *)window_at(entry_address(SLOT_SELF, 1, page)) |= ENTRY_DIRTY;
}

static void count_look(vaddr_t page, uint64_t size, unsigned flags, void *context)
{
    struct looks *looks = context;
    (void)flags;
    looks->entries++;
    looks->pages += size / PAGE_SIZE;
    looks->inside += page >= RUN && page < RUN + 1500 * PAGE_SIZE ? size / PAGE_SIZE : 0;
    if (page == looks->write_also) {
        write_to(page);
    }
}

static uint64_t count_changed(void)
{
    struct looks looks = {0};
    page_table_look_at_changed(count_look, &looks);
    return looks.inside;
}

/* Everything once; then what was written, mapped or protected since, and nothing else. */
static void test_look_tells_all_pages_then_what_has_changed(void **state)
{
    (void)state;
    assert_int_equal(page_table_map(RUN, FRAME, 1024, PAGE_WRITE), OK); /* two entries of 2 MiB */
    assert_int_equal(
        page_table_map(RUN + 1024 * PAGE_SIZE, FRAME + PAGE_SIZE * 1024, 400, PAGE_WRITE), OK);
    assert_int_equal(page_table_map(RUN + 1430 * PAGE_SIZE, FRAME, 4, PAGE_WRITE | PAGE_UNCACHED),
                     OK);
    assert_int_equal(count_changed(), 1424); /* nobody has looked yet */
    struct looks looks = {.write_also = RUN + 1100 * PAGE_SIZE};
    unsigned steps = 0;
    vaddr_t next = 0;
    size_t reloads = cr3_count;
    do {
        next = page_table_watch(next, 300);
        steps++;
    } while (next);
    assert_in_range(steps, 2, 10);
    assert_int_equal(cr3_count, reloads + steps); /* no CPU knows pages as dirty any more */
    assert_int_equal(count_changed(), 0);
    steps = 0;
    do {
        next = page_table_look(next, 50, count_look, &looks);
        steps++;
    } while (next);
    assert_int_equal(looks.inside, 1424);
    assert_true(looks.pages > looks.inside);                          /* the image */
    assert_in_range(looks.entries, 50 * (steps - 1) - 4, 50 * steps); /* 4 are not cached */
    assert_int_equal(count_changed(), 1);
    write_to(RUN + 1100 * PAGE_SIZE);
    write_to(RUN + 1423 * PAGE_SIZE);
    assert_int_equal(count_changed(), 2);
    assert_int_equal(page_table_map(RUN + 1424 * PAGE_SIZE, FRAME, 3, PAGE_WRITE), OK);
    assert_int_equal(page_table_map(RUN + 1427 * PAGE_SIZE, FRAME, 3, PAGE_READ), OK);
    assert_int_equal(count_changed(), 5);
    assert_int_equal(page_table_protect(RUN + 1024 * PAGE_SIZE, 2, PAGE_READ), OK);
    assert_int_equal(count_changed(), 5);
    assert_int_equal(page_table_protect(RUN + 1024 * PAGE_SIZE, 2, PAGE_WRITE), OK);
    assert_int_equal(count_changed(), 7);
    assert_int_equal(page_table_protect(RUN + 5 * PAGE_SIZE, 1, PAGE_WRITE), OK); /* splits */
    assert_int_equal(count_changed(), 8);
    assert_int_equal(page_table_unmap(RUN, 1434), OK);
    assert_int_equal(count_changed(), 0);
    assert_nothing_is_lost();
}

static void test_other_cpus_forget_before_a_table_goes_back(void **state)
{
    (void)state;
    assert_int_equal(page_table_map(RUN, FRAME + PAGE_SIZE, 8 * 512, PAGE_WRITE), OK);
    page_table_set_shootdown(note_shootdown);
    told = 0;
    assert_int_equal(page_table_protect(RUN + PAGE_SIZE, 700, PAGE_READ), OK);
    assert_int_equal(told, 1);
    assert_int_equal(told_page, RUN + PAGE_SIZE);
    assert_int_equal(told_count, 700);
    told = 0;
    size_t before = taken_count;
    assert_int_equal(page_table_unmap(RUN, 8 * 512), OK);
    assert_int_equal(told, 8 + 8 + 2); /* pages, and windows of tables */
    assert_true(taken_count < before);
    assert_int_equal(taken_when_told, taken_count + 1); /* the last one went back afterwards */
    page_table_set_shootdown(NULL);
    assert_nothing_is_lost();
}

/* ---- against a model ---- */

#define MODEL_PAGES 2200
#define MODEL_RUNS  3

/* Around ends of tables of each level, and in the code zone. */
static const vaddr_t model_starts[MODEL_RUNS] = {
    0xffff808000000000 - 1000 * PAGE_SIZE, /* 512 GiB */
    0xffff8040c0000000 - 1024 * PAGE_SIZE, /* 1 GiB */
    CODE_ZONE_START + 0x4000000,
};

static struct {
    paddr_t frame; /* 0: not mapped */
    unsigned flags;
} model[MODEL_RUNS][MODEL_PAGES];

static size_t mapped_in_model(size_t run, size_t first, size_t count)
{
    size_t mapped = 0;
    for (size_t i = first; i < first + count; i++) {
        mapped += model[run][i].frame != 0;
    }
    return mapped;
}

static void compare_model(size_t run, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++) {
        vaddr_t page = model_starts[run] + i * PAGE_SIZE;
        uint64_t entry = translate(page);
        if (!model[run][i].frame) {
            assert_int_equal(entry, 0);
        } else if (frame_of(entry) != model[run][i].frame ||
                   flags_of(entry) != model[run][i].flags) {
            fail_msg("page %zu of run %zu", i, run);
        }
    }
}

static size_t model_step(bool may_lack_memory)
{
    static const unsigned choices[] = {PAGE_READ, PAGE_WRITE, PAGE_EXECUTE,
                                       PAGE_WRITE | PAGE_UNCACHED};
    size_t run = (size_t)rand() % MODEL_RUNS;
    size_t first = (size_t)rand() % MODEL_PAGES;
    size_t most = rand() % 3 ? 40 : MODEL_PAGES;
    size_t count = 1 + (size_t)rand() % (most < MODEL_PAGES - first ? most : MODEL_PAGES - first);
    unsigned flags = choices[rand() % 4];
    vaddr_t page = model_starts[run] + first * PAGE_SIZE;
    paddr_t frame = page % (1ull << 30) + ((1 + (paddr_t)rand() % 512) << 30);
    frame += rand() % 4 ? 0 : PAGE_SIZE; /* then nothing is aligned */
    size_t mapped = mapped_in_model(run, first, count);
    enum status expected;
    enum status status;
    int kind = rand() % 4;
    taken_limit = may_lack_memory ? taken_count : SIMULATED_FRAMES;
    if (kind < 2) {
        expected = mapped ? ERR_EXISTS : OK;
        status = page_table_map(page, frame, count, flags);
    } else {
        expected = mapped < count ? ERR_NOT_FOUND : OK;
        status = kind == 2 ? page_table_unmap(page, count) : page_table_protect(page, count, flags);
    }
    taken_limit = SIMULATED_FRAMES;
    if (status == ERR_NO_MEMORY && may_lack_memory) {
        compare_model(run, first, count);
        return 1;
    }
    assert_int_equal(status, expected);
    for (size_t i = first; i < first + count; i++) {
        if (kind < 2 && status == OK) {
            model[run][i].frame = frame + (i - first) * PAGE_SIZE;
            model[run][i].flags = flags;
        } else if (kind == 2) {
            model[run][i].frame = 0;
        } else if (kind == 3) {
            model[run][i].flags = flags;
        }
    }
    compare_model(run, first, count);
    return 0;
}

static void test_random_runs_match_the_model(void **state)
{
    (void)state;
    size_t refused = 0;
    srand(3);
    for (int step = 0; step < 60000; step++) {
        refused += model_step(step % 2 == 0);
        if (step % 500 == 0) {
            for (size_t run = 0; run < MODEL_RUNS; run++) {
                compare_model(run, 0, MODEL_PAGES);
            }
            assert_nothing_is_lost();
        }
    }
    assert_true(refused > 100);
    for (size_t run = 0; run < MODEL_RUNS; run++) {
        (void)!page_table_unmap(model_starts[run], MODEL_PAGES);
    }
    assert_int_equal(page_table_statistics().tables, 5); /* those of the image */
    assert_nothing_is_lost();
}

int main(void)
{
    /* In this order: the tables are those of one machine. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_are_where_the_address_map_says),
        cmocka_unit_test(test_walk_of_a_window_address_ends_in_its_table),
        cmocka_unit_test(test_entry_round_trip_keeps_frame_and_flags),
        cmocka_unit_test(test_only_the_upper_half_without_windows_is_mappable),
        cmocka_unit_test(test_different_pages_have_different_entries),
        cmocka_unit_test(test_before_init_everything_is_refused),
        cmocka_unit_test(test_init_failing_at_any_frame_keeps_the_old_tables),
        cmocka_unit_test(test_init_maps_the_regions_and_nothing_else),
        cmocka_unit_test(test_map_protect_unmap_are_seen_at_once),
        cmocka_unit_test(test_pages_of_the_known_table_are_like_others),
        cmocka_unit_test(test_wrong_arguments_are_refused),
        cmocka_unit_test(test_map_without_a_frame_for_a_table_fails_and_works_later),
        cmocka_unit_test(test_aligned_run_takes_one_entry_for_2_mib),
        cmocka_unit_test(test_run_whose_frames_are_not_aligned_takes_small_entries),
        cmocka_unit_test(test_part_of_2_mib_is_split_off),
        cmocka_unit_test(test_split_without_a_frame_changes_nothing),
        cmocka_unit_test(test_map_failing_in_the_middle_maps_nothing),
        cmocka_unit_test(test_a_few_pages_are_forgotten_by_themselves),
        cmocka_unit_test(test_look_tells_all_pages_then_what_has_changed),
        cmocka_unit_test(test_other_cpus_forget_before_a_table_goes_back),
        cmocka_unit_test(test_random_runs_match_the_model),
    };
    return cmocka_run_group_tests(tests, start_machine, NULL);
}
