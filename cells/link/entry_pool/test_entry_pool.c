/* SPDX-License-Identifier: MIT */
/*
 * Pages are real ones, one behind the other, and really protected: a store into a chunk that was
 * not made writable ends the test. The pool has no end, so each test starts from what the one
 * before it left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>

#include "entry_pool.h"
#include "mapped_pages.h"

#define PAGE_ENTRIES (PAGE_SIZE / ENTRY_SIZE)
#define ARENA_PAGES  600 /* more than the pool can ever take */
#define MAX_CHUNKS   256 /* as in entry_pool.c */

static uint8_t *arena;
static size_t arena_used;
static enum status init_fails_with;
static bool protect_fails;
static unsigned chunks_out;

struct mapped_pages {
    vaddr_t start;
    size_t bytes;
};

enum status mapped_pages_create(enum page_zone zone, size_t bytes, unsigned flags,
                                struct mapped_pages **out)
{
    assert_int_equal(zone, PAGE_ZONE_CODE);
    assert_int_equal(flags, PAGE_WRITE);
    assert_int_equal(bytes % PAGE_SIZE, 0);
    if (init_fails_with != OK) {
        return init_fails_with;
    }
    assert_true(arena_used + bytes <= ARENA_PAGES * PAGE_SIZE);
    static struct mapped_pages handles[ARENA_PAGES];
    assert_null(*out);
    *out = &handles[arena_used / PAGE_SIZE];
    **out = (struct mapped_pages){.start = (vaddr_t)(arena + arena_used), .bytes = bytes};
    assert_int_equal(mprotect(arena + arena_used, bytes, PROT_READ | PROT_WRITE), 0);
    arena_used += bytes;
    chunks_out++;
    return OK;
}

/* Executable means read-only here: the entries are data to the test. */
enum status mapped_pages_remap(struct mapped_pages *pages, unsigned flags)
{
    if (protect_fails) {
        return ERR_NO_MEMORY;
    }
    assert_true(flags == PAGE_WRITE || flags == PAGE_EXECUTE);
    int protection = flags == PAGE_WRITE ? PROT_READ | PROT_WRITE : PROT_READ;
    assert_int_equal(mprotect((void *)pages->start, pages->bytes, protection), 0);
    return OK;
}

vaddr_t mapped_pages_start(const struct mapped_pages *pages)
{
    return pages->start;
}

uint64_t mapped_pages_count(const struct mapped_pages *pages)
{
    return pages->bytes / PAGE_SIZE;
}

void mapped_pages_drop(struct mapped_pages **handle)
{
    assert_int_equal((*handle)->start + (*handle)->bytes, (vaddr_t)(arena + arena_used));
    arena_used -= (*handle)->bytes;
    chunks_out--;
    *handle = NULL;
}

static int make_arena(void **state)
{
    (void)state;
    arena = mmap(NULL, ARENA_PAGES * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return arena == MAP_FAILED ? -1 : 0;
}

static void expect_filled(uint64_t address, uint32_t count, uint8_t value)
{
    const uint8_t *bytes = (const uint8_t *)address;
    for (size_t i = 0; i < (size_t)count * ENTRY_SIZE; i++) {
        assert_int_equal(bytes[i], value);
    }
}

static void give_back(uint64_t address, uint32_t count)
{
    entry_pool_give_back(address, &count, 0);
    assert_int_equal(count, 0);
}

static void write_filled(uint64_t address, uint32_t count, uint8_t value)
{
    static uint8_t bytes[3 * 4096];
    assert_true((size_t)count * ENTRY_SIZE <= sizeof(bytes));
    memset(bytes, value, sizeof(bytes));
    assert_int_equal(entry_pool_write(address, bytes, count), OK);
}

static void test_entry_pool_without_pages_passes_the_error_on(void **state)
{
    (void)state;
    static const enum status errors[] = {ERR_NO_MEMORY, ERR_NO_ADDRESS_SPACE};
    for (int i = 0; i < 2; i++) {
        uint64_t address = 1;
        init_fails_with = errors[i];
        assert_int_equal(entry_pool_take(1, &address), errors[i]);
        assert_int_equal(address, 1);
    }
    init_fails_with = OK;
    assert_int_equal(entry_pool_statistics().page_bytes, 0);
}

static void test_entry_pool_pages_that_cannot_be_protected_go_back(void **state)
{
    (void)state;
    uint64_t address = 1;
    protect_fails = true;
    assert_int_equal(entry_pool_take(1, &address), ERR_NO_MEMORY);
    protect_fails = false;
    assert_int_equal(chunks_out, 0);
    assert_int_equal(entry_pool_statistics().page_bytes, 0);
}

static void test_entry_pool_new_entries_are_traps(void **state)
{
    (void)state;
    uint64_t address;
    assert_int_equal(entry_pool_take(1, &address), OK);
    assert_int_equal(address, (uint64_t)arena);
    expect_filled((uint64_t)arena, PAGE_ENTRIES, 0xcc);
    struct entry_pool_statistics statistics = entry_pool_statistics();
    assert_int_equal(statistics.taken, 1);
    assert_int_equal(statistics.page_bytes, PAGE_SIZE);
    give_back(address, 1);
    assert_int_equal(entry_pool_statistics().taken, 0);
}

static void test_entry_pool_write_stores_these_entries_alone(void **state)
{
    (void)state;
    uint64_t address;
    assert_int_equal(entry_pool_take(8, &address), OK);
    write_filled(address + 2 * ENTRY_SIZE, 3, 0x11);
    expect_filled(address, 2, 0xcc);
    expect_filled(address + 2 * ENTRY_SIZE, 3, 0x11);
    expect_filled(address + 5 * ENTRY_SIZE, 3, 0xcc);
    give_back(address, 8);
    expect_filled(address, 8, 0xcc);
}

static void test_entry_pool_part_that_is_given_back_is_used_again(void **state)
{
    (void)state;
    uint64_t address;
    uint64_t again;
    assert_int_equal(entry_pool_take(10, &address), OK);
    write_filled(address, 10, 0x22);
    uint32_t count = 10;
    entry_pool_give_back(address, &count, 4);
    assert_int_equal(count, 4);
    entry_pool_give_back(address, &count, 7); /* no more than there are */
    assert_int_equal(count, 4);
    expect_filled(address, 4, 0x22);
    expect_filled(address + 4 * ENTRY_SIZE, 6, 0xcc);
    assert_int_equal(entry_pool_take(6, &again), OK);
    assert_int_equal(again, address + 4 * ENTRY_SIZE);
    give_back(address, 10);
    assert_int_equal(entry_pool_statistics().taken, 0);
}

static void test_entry_pool_takes_one_back_out_of_the_middle(void **state)
{
    (void)state;
    uint64_t address;
    uint64_t again;
    assert_int_equal(entry_pool_take(3, &address), OK);
    write_filled(address, 3, 0x22);
    uint64_t entry = address + ENTRY_SIZE;
    entry_pool_give_back_one(&entry);
    assert_int_equal(entry, 0);
    expect_filled(address, 1, 0x22);
    expect_filled(address + ENTRY_SIZE, 1, 0xcc);
    expect_filled(address + 2 * ENTRY_SIZE, 1, 0x22);
    assert_int_equal(entry_pool_take(1, &again), OK);
    assert_int_equal(again, address + ENTRY_SIZE);
    give_back(address, 3);
    assert_int_equal(entry_pool_statistics().taken, 0);
}

static void test_entry_pool_run_across_chunks_is_written_and_trapped(void **state)
{
    (void)state;
    uint64_t first;
    uint64_t second;
    uint64_t both;
    assert_int_equal(entry_pool_take(PAGE_ENTRIES, &first), OK);
    assert_int_equal(entry_pool_take(PAGE_ENTRIES, &second), OK);
    assert_int_equal(second, first + PAGE_SIZE); /* another chunk, right behind */
    assert_int_equal(chunks_out, 2);
    give_back(first, PAGE_ENTRIES);
    give_back(second, PAGE_ENTRIES);
    assert_int_equal(entry_pool_take(PAGE_ENTRIES + 88, &both), OK);
    assert_int_equal(both, first);
    assert_int_equal(chunks_out, 2);
    write_filled(both + 500 * ENTRY_SIZE, 100, 0x33);
    expect_filled(both, 500, 0xcc);
    expect_filled(both + 500 * ENTRY_SIZE, 100, 0x33);
    give_back(both, PAGE_ENTRIES + 88);
    expect_filled(both, 2 * PAGE_ENTRIES, 0xcc);
    assert_int_equal(entry_pool_statistics().taken, 0);
}

static void test_entry_pool_more_than_a_page_is_one_run(void **state)
{
    (void)state;
    uint64_t address;
    uint64_t before = entry_pool_statistics().page_bytes;
    assert_int_equal(entry_pool_take(3 * PAGE_ENTRIES - 1, &address), OK);
    assert_int_equal(entry_pool_statistics().page_bytes, before + 3 * PAGE_SIZE);
    assert_int_equal(chunks_out, 3);
    write_filled(address, 3 * PAGE_ENTRIES - 1, 0x44);
    give_back(address, 3 * PAGE_ENTRIES - 1);
    assert_int_equal(entry_pool_statistics().taken, 0);
}

static void test_entry_pool_address_of_no_chunk_is_refused(void **state)
{
    (void)state;
    static const uint8_t bytes[2 * ENTRY_SIZE];
    uint64_t end = (uint64_t)arena + entry_pool_statistics().page_bytes;
    uint64_t taken = entry_pool_statistics().taken;
    assert_int_equal(entry_pool_write(0, bytes, 1), ERR_INVALID_ARGUMENT);
    assert_int_equal(entry_pool_write(end, bytes, 1), ERR_INVALID_ARGUMENT);
    assert_int_equal(entry_pool_write(end - ENTRY_SIZE, bytes, 2), ERR_INVALID_ARGUMENT);
    uint32_t count = 5;
    uint64_t entry = end;
    entry_pool_give_back(0, &count, 0); /* what a load gives back that never got any */
    entry_pool_give_back_one(&entry);
    assert_true(count == 0 && entry == 0);
    assert_int_equal(entry_pool_statistics().taken, taken);
}

static void test_entry_pool_takes_no_more_chunks_than_its_limit(void **state)
{
    (void)state;
    uint64_t address = 0;
    uint64_t all = entry_pool_statistics().page_bytes / ENTRY_SIZE;
    assert_int_equal(entry_pool_take((uint32_t)all, &address), OK); /* use up what is free */
    while (chunks_out < MAX_CHUNKS) {
        assert_int_equal(entry_pool_take(PAGE_ENTRIES, &address), OK);
        all += PAGE_ENTRIES;
    }
    uint64_t unchanged = 1;
    assert_int_equal(entry_pool_take(1, &unchanged), ERR_LIMIT);
    assert_int_equal(unchanged, 1);
    assert_int_equal(entry_pool_statistics().taken, all);
    give_back(address, 1);
    assert_int_equal(entry_pool_take(1, &unchanged), OK);
    assert_int_equal(unchanged, address);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entry_pool_without_pages_passes_the_error_on),
        cmocka_unit_test(test_entry_pool_pages_that_cannot_be_protected_go_back),
        cmocka_unit_test(test_entry_pool_new_entries_are_traps),
        cmocka_unit_test(test_entry_pool_write_stores_these_entries_alone),
        cmocka_unit_test(test_entry_pool_part_that_is_given_back_is_used_again),
        cmocka_unit_test(test_entry_pool_takes_one_back_out_of_the_middle),
        cmocka_unit_test(test_entry_pool_run_across_chunks_is_written_and_trapped),
        cmocka_unit_test(test_entry_pool_more_than_a_page_is_one_run),
        cmocka_unit_test(test_entry_pool_address_of_no_chunk_is_refused),
        cmocka_unit_test(test_entry_pool_takes_no_more_chunks_than_its_limit),
    };
    return cmocka_run_group_tests(tests, make_arena, NULL);
}
