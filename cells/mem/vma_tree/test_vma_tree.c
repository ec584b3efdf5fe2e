/* SPDX-License-Identifier: MIT */
/*
 * The tree against a table of pages: after each of many random operations both must say the same,
 * and what is mapped must be what the page table was told. Pages are the host's memory, frames are
 * counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "descriptor_pool.h"
#include "frame_allocator.h"
#include "mapped_pages.h"
#include "page_allocator.h"
#include "page_table.h"
#include "vma_tree.h"

#define PAGES      256 /* of the window, that operations of the model are in */
#define OPERATIONS 200000
#define NOTHING    0xffu

struct pages {
    vaddr_t start;
};

struct frames {
    uint64_t count;
};

static vaddr_t start_of_all;
static uint8_t table[VMA_TREE_BYTES / PAGE_SIZE]; /* flags as the CPU has them, or NOTHING */
static uint64_t frames_alive;
static bool refuse_frames;
static bool refuse_tables;

enum status page_allocator_take(enum page_zone zone, uint64_t count, uint64_t alignment,
                                struct pages **out)
{
    static struct pages pages;
    assert_int_equal(zone, PAGE_ZONE_DATA);
    assert_int_equal(count, VMA_TREE_BYTES / PAGE_SIZE);
    assert_int_equal(alignment, 1);
    void *memory = mmap(NULL, VMA_TREE_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return ERR_NO_ADDRESS_SPACE;
    }
    pages.start = (vaddr_t)memory;
    start_of_all = pages.start;
    FILL(out, &pages);
    return OK;
}

void pages_drop(struct pages **handle)
{
    if (*handle) {
        assert_int_equal(munmap((void *)(*handle)->start, VMA_TREE_BYTES), 0);
        *handle = NULL;
    }
}

vaddr_t pages_start(const struct pages *pages)
{
    return pages->start;
}

static struct frames *make_frames(uint64_t count)
{
    struct frames *frames = malloc(sizeof(*frames));
    assert_non_null(frames);
    frames->count = count;
    return frames;
}

enum status frame_allocator_take(uint64_t count, uint64_t alignment, struct frames **out)
{
    assert_int_equal(alignment, 1);
    if (refuse_frames) {
        return ERR_NO_MEMORY;
    }
    frames_alive += count;
    FILL(out, make_frames(count));
    return OK;
}

enum status frame_allocator_take_any(uint64_t count, struct frames **out)
{
    (void)count;
    (void)out;
    return ERR_NO_MEMORY;
}

void frames_drop(struct frames **handle)
{
    if (*handle) {
        frames_alive -= (*handle)->count;
        free(*handle);
        *handle = NULL;
    }
}

bool frames_next_range(const struct frames *frames, const struct frames **cursor,
                       paddr_t *out_start, uint64_t *out_count)
{
    if (*cursor) {
        return false;
    }
    *cursor = frames;
    *out_start = 0;
    *out_count = frames->count;
    return true;
}

void frames_set_clean(struct frames *frames)
{
    (void)frames;
}

enum status frames_split(struct frames *frames, uint64_t first_count, struct frames **out_rest)
{
    assert_in_range(first_count, 1, frames->count - 1);
    FILL(out_rest, make_frames(frames->count - first_count));
    frames->count = first_count;
    return OK;
}

enum status frames_merge(struct frames *frames, struct frames **rest)
{
    frames->count += (*rest)->count;
    free(*rest);
    *rest = NULL;
    return OK;
}

static size_t index_of(vaddr_t page)
{
    assert_in_range(page, start_of_all, start_of_all + VMA_TREE_BYTES - PAGE_SIZE);
    return (page - start_of_all) / PAGE_SIZE;
}

enum status page_table_map(vaddr_t page, paddr_t frame, uint64_t count, unsigned flags)
{
    (void)frame;
    if (refuse_tables) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = index_of(page); count > 0; i++, count--) {
        assert_int_equal(table[i], NOTHING);
        table[i] = (uint8_t)flags;
    }
    return OK;
}

enum status page_table_unmap(vaddr_t page, uint64_t count)
{
    for (size_t i = index_of(page); count > 0; i++, count--) {
        assert_int_not_equal(table[i], NOTHING);
        table[i] = NOTHING;
    }
    return OK;
}

enum status page_table_protect(vaddr_t page, uint64_t count, unsigned flags)
{
    for (size_t i = index_of(page); count > 0; i++, count--) {
        assert_int_not_equal(table[i], NOTHING);
        table[i] = (uint8_t)flags;
    }
    return OK;
}

enum status page_table_cut(vaddr_t page)
{
    (void)page;
    return OK;
}

enum status mapped_pages_create(enum page_zone zone, size_t bytes, unsigned flags,
                                struct mapped_pages **out)
{
    (void)zone;
    (void)bytes;
    (void)flags;
    (void)out;
    return ERR_NO_MEMORY; /* called to refill the pool, which must be no error */
}

void mapped_pages_drop(struct mapped_pages **handle)
{
    assert_null(*handle);
}

static int start(void **state)
{
    (void)state;
    memset(table, NOTHING, sizeof(table));
    return vma_tree_init() != OK;
}

static int end(void **state)
{
    (void)state;
    vma_tree_fini();
    return frames_alive != 0 || descriptor_pool_in_use() != 0 || vma_tree_statistics().areas != 0;
}

static void assert_same_as_table(void)
{
    assert_true(vma_tree_is_whole());
    uint64_t mapped = 0;
    uint64_t areas = 0;
    for (size_t i = 0; i < PAGES; i++) {
        vaddr_t area_start;
        uint64_t bytes;
        unsigned flags;
        bool is_mapped =
            vma_tree_find(start_of_all + i * PAGE_SIZE + 77, &area_start, &bytes, &flags);
        assert_int_equal(is_mapped, table[i] != NOTHING);
        assert_true(!is_mapped || flags == table[i]);
        areas += is_mapped && (i == 0 || table[i - 1] != table[i]);
        mapped += is_mapped;
    }
    assert_int_equal(frames_alive, mapped);
    assert_int_equal(vma_tree_statistics().areas, areas); /* what is alike and touches is one */
}

static uint64_t random_below(uint64_t limit)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % limit;
}

static bool is_all_mapped(size_t first, size_t count)
{
    return !memchr(table + first, NOTHING, count);
}

static void do_something(void)
{
    static const unsigned flags[] = {PAGE_READ, PAGE_WRITE, PAGE_EXECUTE};
    unsigned choice = flags[random_below(ARRAY_COUNT(flags))];
    size_t first = random_below(PAGES);
    size_t count = 1 + random_below(random_below(4) ? 4 : 40);
    count = count < PAGES - first ? count : PAGES - first;
    vaddr_t address = start_of_all + first * PAGE_SIZE;
    vaddr_t got;
    switch (random_below(4)) {
    case 0:
        assert_int_equal(vma_tree_unmap(address, count * PAGE_SIZE), OK);
        for (size_t i = first; i < first + count; i++) {
            assert_int_equal(table[i], NOTHING);
        }
        break;
    case 1: {
        bool is_mapped = is_all_mapped(first, count);
        enum status status = vma_tree_remap(address, count * PAGE_SIZE, choice);
        assert_int_equal(status, is_mapped ? OK : ERR_NOT_FOUND);
        break;
    }
    default: {
        bool has_hint = random_below(2);
        bool is_room = true;
        for (size_t i = first; i < first + count; i++) {
            is_room = is_room && table[i] == NOTHING;
        }
        size_t lowest = 0; /* room, by looking at each page */
        for (size_t run = 0; run < count; lowest++) {
            run = table[lowest] == NOTHING ? run + 1 : 0;
        }
        lowest -= count;
        if (lowest + count > PAGES && !(has_hint && is_room)) {
            break;
        }
        assert_int_equal(vma_tree_map(has_hint ? address : 0, count * PAGE_SIZE, choice, &got), OK);
        assert_int_equal(got, has_hint && is_room ? address : start_of_all + lowest * PAGE_SIZE);
        assert_int_equal(*(volatile uint8_t *)got, 0);
        break;
    }
    }
}

static void test_random_operations_agree_with_a_table_of_pages(void **state)
{
    (void)state;
    for (unsigned i = 0; i < OPERATIONS; i++) {
        do_something();
        if (i % 16 == 0) {
            assert_same_as_table();
        }
    }
    assert_same_as_table();
}

static void test_many_areas_stay_balanced(void **state)
{
    (void)state;
    vaddr_t got;
    for (size_t i = 0; i < PAGES; i++) {
        assert_int_equal(vma_tree_map(0, PAGE_SIZE, i % 2 ? PAGE_READ : PAGE_WRITE, &got), OK);
        assert_int_equal(got, start_of_all + i * PAGE_SIZE);
    }
    assert_int_equal(vma_tree_statistics().areas, PAGES);
    assert_true(vma_tree_statistics().height <= 11); /* 1.44 log2(257) */
    assert_same_as_table();
}

static void test_wrong_requests_are_refused(void **state)
{
    (void)state;
    vaddr_t got;
    assert_int_equal(vma_tree_init(), ERR_STATE);
    assert_int_equal(vma_tree_map(0, 0, PAGE_READ, &got), ERR_INVALID_ARGUMENT);
    assert_int_equal(vma_tree_map(0, 100, PAGE_READ, &got), ERR_MISALIGNED);
    assert_int_equal(vma_tree_map(1, PAGE_SIZE, PAGE_READ, &got), ERR_MISALIGNED);
    assert_int_equal(vma_tree_map(0, PAGE_SIZE, PAGE_WRITE | PAGE_EXECUTE, &got), ERR_PERMISSION);
    assert_int_equal(vma_tree_map(0, PAGE_SIZE, 0x80, &got), ERR_INVALID_ARGUMENT);
    assert_int_equal(vma_tree_unmap(start_of_all - PAGE_SIZE, PAGE_SIZE), ERR_NOT_FOUND);
    assert_int_equal(vma_tree_remap(start_of_all, PAGE_SIZE, PAGE_READ), ERR_NOT_FOUND);
    refuse_frames = true;
    assert_int_equal(vma_tree_map(0, PAGE_SIZE, PAGE_READ, &got), ERR_NO_MEMORY);
    refuse_frames = false;
    refuse_tables = true;
    assert_int_equal(vma_tree_map(0, PAGE_SIZE, PAGE_READ, &got), ERR_NO_MEMORY);
    refuse_tables = false;
    assert_same_as_table();
}

static void test_without_init_there_is_nothing(void **state)
{
    (void)state;
    vaddr_t got;
    assert_int_equal(vma_tree_map(0, PAGE_SIZE, PAGE_READ, &got), ERR_STATE);
    assert_int_equal(vma_tree_unmap(PAGE_SIZE, PAGE_SIZE), ERR_STATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_init_there_is_nothing),
        cmocka_unit_test_setup_teardown(test_wrong_requests_are_refused, start, end),
        cmocka_unit_test_setup_teardown(test_many_areas_stay_balanced, start, end),
        cmocka_unit_test_setup_teardown(test_random_operations_agree_with_a_table_of_pages, start,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
