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

/* ---- the machine ---- */

#define FRAMES     200
#define BOOT_ROOT  (1 * PAGE_SIZE)
#define FIRST_FREE 2
#define TLB_SIZE   1024

static _Alignas(4096) uint64_t memory[FRAMES][ENTRY_COUNT]; /* by frame number */
static size_t next_frame = FIRST_FREE;
static size_t frame_limit = FRAMES;
static uint64_t cr3 = BOOT_ROOT;

static struct {
    vaddr_t page;
    uint64_t entry; /* 0: nothing here */
} tlb[TLB_SIZE];

enum status frame_allocator_take_top(paddr_t *out_frame)
{
    if (next_frame >= frame_limit) {
        return ERR_NO_MEMORY;
    }
    memset(memory[next_frame], 0xff, PAGE_SIZE); /* left over from somebody else */
    *out_frame = next_frame++ * PAGE_SIZE;
    return OK;
}

uint64_t read_cr3(void)
{
    return cr3;
}

void write_cr3(uint64_t value)
{
    cr3 = value;
    memset(tlb, 0, sizeof(tlb));
}

void invlpg(uint64_t address)
{
    for (size_t i = 0; i < TLB_SIZE; i++) {
        if (tlb[i].page == page_align_down(address)) {
            tlb[i].entry = 0;
        }
    }
}

static uint64_t *frame_at(paddr_t frame)
{
    assert_true(frame / PAGE_SIZE < FRAMES);
    return memory[frame / PAGE_SIZE];
}

/* The entry that maps `page`, or 0. A table that is not present ends the walk. */
static uint64_t walk_tables(vaddr_t page)
{
    uint64_t entry = cr3;
    for (unsigned level = LEVELS; level > 0; level--) {
        entry = frame_at(frame_of(entry))[index_at(level, page)];
        if (!(entry & ENTRY_PRESENT)) {
            return 0;
        }
    }
    return entry;
}

/* What the CPU uses for `page`; 0 is a page fault. */
static uint64_t translate(vaddr_t page)
{
    size_t empty = TLB_SIZE;
    for (size_t i = 0; i < TLB_SIZE; i++) {
        if (tlb[i].entry && tlb[i].page == page) {
            return tlb[i].entry;
        }
        empty = tlb[i].entry ? empty : i;
    }
    uint64_t entry = walk_tables(page);
    if (entry) {
        assert_true(empty < TLB_SIZE);
        tlb[empty].page = page;
        tlb[empty].entry = entry;
    }
    return entry;
}

void *window_at(vaddr_t address)
{
    uint64_t entry = translate(page_align_down(address));
    assert_true(entry & ENTRY_WRITABLE);
    return frame_at(frame_of(entry));
}

/* As boot.S leaves it: a root with itself in SLOT_SELF and something else in slot 0. */
static int start_machine(void **state)
{
    (void)state;
    memory[1][SLOT_SELF] = BOOT_ROOT | ENTRY_TABLE;
    memory[1][0] = BOOT_ROOT | ENTRY_TABLE;
    return 0;
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
}

static void assert_not_mapped(vaddr_t page)
{
    assert_int_equal(translate(page), 0);
    assert_false(page_table_find(page, NULL, NULL));
}

/* ---- arithmetic ---- */

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

/* ---- tables ---- */

static const struct page_region image[] = {
    {.start = KERNEL_BASE + 0x100000, .frame = 0x100000, .page_count = 3, .flags = PAGE_EXECUTE},
    {.start = KERNEL_BASE + 0x103000, .frame = 0x103000, .page_count = 600, .flags = PAGE_WRITE},
};

static void test_before_init_everything_is_refused(void **state)
{
    (void)state;
    paddr_t frame = 1;
    assert_int_equal(page_table_map(CODE_ZONE_START, 0, PAGE_READ), ERR_STATE);
    assert_int_equal(page_table_unmap(CODE_ZONE_START, &frame), ERR_STATE);
    assert_int_equal(page_table_protect(CODE_ZONE_START, PAGE_READ), ERR_STATE);
    assert_false(page_table_find(CODE_ZONE_START, &frame, NULL));
    assert_int_equal(frame, 1);
    assert_int_equal(page_table_frame_count(), 0);
}

static void test_init_failing_at_any_frame_keeps_the_old_tables(void **state)
{
    (void)state;
    /* root, two upper tables, and two tables for 603 pages */
    for (size_t count = 0; count < 5; count++) {
        next_frame = FIRST_FREE;
        frame_limit = FIRST_FREE + count;
        assert_int_equal(page_table_init(image, ARRAY_COUNT(image)), ERR_NO_MEMORY);
        assert_int_equal(cr3, BOOT_ROOT);
        assert_int_equal(memory[1][SLOT_BUILD], 0);
        assert_int_equal(memory[1][SLOT_SHOW], 0);
        assert_int_equal(memory[1][SLOT_SELF], BOOT_ROOT | ENTRY_TABLE);
    }
    struct page_region both = {.start = KERNEL_BASE, .page_count = 1, .flags = 3};
    frame_limit = FRAMES;
    assert_int_equal(page_table_init(&both, 1), ERR_PERMISSION);
    assert_int_equal(cr3, BOOT_ROOT);
}

static void test_init_maps_the_regions_and_nothing_else(void **state)
{
    (void)state;
    uint64_t before = page_table_frame_count();
    assert_int_equal(page_table_init(image, ARRAY_COUNT(image)), OK);
    assert_int_not_equal(cr3, BOOT_ROOT);
    assert_int_equal(page_table_frame_count() - before, 5);
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
}

static void test_map_protect_unmap_are_seen_at_once(void **state)
{
    (void)state;
    const vaddr_t page = CODE_ZONE_START + 5 * PAGE_SIZE;
    paddr_t frame = 0;
    assert_not_mapped(page);
    assert_int_equal(page_table_map(page, 0x7000, PAGE_WRITE), OK);
    assert_mapped(page, 0x7000, PAGE_WRITE);
    assert_int_equal(page_table_map(page, 0x8000, PAGE_WRITE), ERR_EXISTS);
    assert_int_equal(page_table_protect(page, PAGE_EXECUTE), OK);
    assert_mapped(page, 0x7000, PAGE_EXECUTE);
    assert_int_equal(page_table_unmap(page, &frame), OK);
    assert_int_equal(frame, 0x7000);
    assert_not_mapped(page);
    assert_int_equal(page_table_unmap(page, &frame), ERR_NOT_FOUND);
    assert_int_equal(page_table_protect(page, PAGE_READ), ERR_NOT_FOUND);
    assert_int_equal(page_table_unmap(DATA_ZONE_END - PAGE_SIZE, &frame), ERR_NOT_FOUND);
    assert_int_equal(page_table_protect(DATA_ZONE_END - PAGE_SIZE, 0), ERR_NOT_FOUND);
}

static void test_wrong_arguments_are_refused(void **state)
{
    (void)state;
    const vaddr_t page = CODE_ZONE_START;
    const unsigned both = PAGE_WRITE | PAGE_EXECUTE;
    paddr_t frame;
    uint64_t before = page_table_frame_count();
    assert_int_equal(page_table_map(page, 0x7000, both), ERR_PERMISSION);
    assert_int_equal(page_table_map(page, 0x7000, 8), ERR_INVALID_ARGUMENT);
    assert_int_equal(page_table_map(page + 1, 0x7000, 0), ERR_MISALIGNED);
    assert_int_equal(page_table_map(page, 0x7001, 0), ERR_MISALIGNED);
    assert_int_equal(page_table_map(page, PHYSICAL_LIMIT, 0), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_map(0, 0x7000, 0), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_map(DATA_ZONE_END, 0x7000, 0), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_unmap(DATA_ZONE_END, &frame), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_unmap(page + 8, &frame), ERR_MISALIGNED);
    assert_int_equal(page_table_protect(table_at(SLOT_SELF, 4, 0), 0), ERR_OUT_OF_BOUNDS);
    assert_int_equal(page_table_protect(image[0].start, both), ERR_PERMISSION);
    assert_mapped(image[0].start, image[0].frame, PAGE_EXECUTE);
    assert_int_equal(page_table_frame_count(), before);
}

static void test_map_without_a_frame_for_a_table_fails_and_works_later(void **state)
{
    (void)state;
    const vaddr_t page = address_of(300, 1, 2, 3);
    for (size_t missing = 3; missing > 0; missing--) {
        frame_limit = next_frame + (missing == 3 ? 0 : 1); /* one more table each time */
        assert_int_equal(page_table_map(page, 0x9000, PAGE_READ), ERR_NO_MEMORY);
        assert_not_mapped(page);
    }
    frame_limit = FRAMES;
    assert_int_equal(page_table_map(page, 0x9000, PAGE_READ), OK);
    assert_mapped(page, 0x9000, PAGE_READ);
}

#define MODEL_PAGES 64

/* Pages that share some tables and not others. */
static vaddr_t model_page(size_t i)
{
    return address_of(256 + (i & 3), (i >> 2) & 3, 511 - ((i >> 4) & 1), (i >> 5) * 77);
}

static void test_random_operations_match_the_model(void **state)
{
    (void)state;
    static struct {
        paddr_t frame; /* 0: not mapped */
        unsigned flags;
    } model[MODEL_PAGES];
    const unsigned choices[] = {PAGE_READ, PAGE_WRITE, PAGE_EXECUTE, PAGE_WRITE | PAGE_UNCACHED};
    srand(3);
    for (int step = 0; step < 5000; step++) {
        size_t i = (size_t)rand() % MODEL_PAGES;
        unsigned flags = choices[rand() % 4];
        paddr_t frame = (1 + (paddr_t)rand()) * PAGE_SIZE;
        bool mapped = model[i].frame != 0;
        switch (rand() % 3) {
        case 0:
            assert_int_equal(page_table_map(model_page(i), frame, flags), mapped ? ERR_EXISTS : OK);
            model[i].frame = mapped ? model[i].frame : frame;
            model[i].flags = mapped ? model[i].flags : flags;
            break;
        case 1:
            assert_int_equal(page_table_unmap(model_page(i), &frame), mapped ? OK : ERR_NOT_FOUND);
            assert_true(!mapped || frame == model[i].frame);
            model[i].frame = 0;
            break;
        default:
            assert_int_equal(page_table_protect(model_page(i), flags), mapped ? OK : ERR_NOT_FOUND);
            model[i].flags = flags;
            break;
        }
        for (size_t k = 0; k < MODEL_PAGES; k++) {
            if (model[k].frame) {
                assert_mapped(model_page(k), model[k].frame, model[k].flags);
            } else {
                assert_not_mapped(model_page(k));
            }
        }
    }
}

int main(void)
{
    /* In this order: the tables are those of one machine. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_are_where_the_address_map_says),
        cmocka_unit_test(test_walk_of_a_window_address_ends_in_its_table),
        cmocka_unit_test(test_entry_round_trip_keeps_frame_and_flags),
        cmocka_unit_test(test_only_the_upper_half_without_windows_is_mappable),
        cmocka_unit_test(test_before_init_everything_is_refused),
        cmocka_unit_test(test_init_failing_at_any_frame_keeps_the_old_tables),
        cmocka_unit_test(test_init_maps_the_regions_and_nothing_else),
        cmocka_unit_test(test_map_protect_unmap_are_seen_at_once),
        cmocka_unit_test(test_wrong_arguments_are_refused),
        cmocka_unit_test(test_map_without_a_frame_for_a_table_fails_and_works_later),
        cmocka_unit_test(test_random_operations_match_the_model),
    };
    return cmocka_run_group_tests(tests, start_machine, NULL);
}
