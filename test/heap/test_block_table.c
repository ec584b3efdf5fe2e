/* SPDX-License-Identifier: MIT */
/* The table beside a plain array that says the same. */
#include "block_table.h"
#include "host_pages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define KEYS 2000

static struct block_table table;

static void put(uintptr_t address, uint64_t note)
{
    assert_int_equal(block_table_reserve(&table), OK);
    struct block *block = block_table_insert(&table, address);
    assert_int_equal(block->address, address);
    assert_null(block->memory);
    block->note = note;
}

static void empty_table(void)
{
    const struct block *block;
    while ((block = block_table_next(&table, NULL)) != NULL) {
        block_table_remove(&table, block_table_find(&table, block->address));
    }
    assert_int_equal(table.count, 0);
}

static void test_block_table_agrees_with_an_array(void **state)
{
    static bool is_in[KEYS];
    uint64_t count = 0;
    srand(3);
    for (unsigned step = 0; step < 200000; step++) {
        size_t key = (size_t)rand() % KEYS;
        /* Neighbouring pages, and now and then something far away that collides. */
        uintptr_t address = (key + 1) * PAGE_SIZE + (key % 3) * (1ull << 40);
        struct block *block = block_table_find(&table, address);
        assert_int_equal(block != NULL, is_in[key]);
        assert_null(block_table_find(&table, address + 16));
        if (block) {
            assert_int_equal(block->note, key);
            block_table_remove(&table, block);
            count--;
        } else {
            put(address, key);
            count++;
        }
        is_in[key] = !is_in[key];
        assert_int_equal(table.count, count);
        assert_true(table.count <= table.capacity / 4 * 3 + 1);
    }
    uint64_t walked = 0;
    for (const struct block *block = block_table_next(&table, NULL); block;
         block = block_table_next(&table, block)) {
        assert_true(is_in[block->note]);
        walked++;
    }
    assert_int_equal(walked, count);
    assert_int_equal(block_table_bytes(&table), host_pages_use().frames * PAGE_SIZE);
    empty_table();
}

static void test_block_table_removal_drops_the_mapping(void **state)
{
    put(0x1000, 1);
    uint64_t frames = host_pages_use().frames;
    OWNED(mapped_pages, memory);
    assert_int_equal(mapped_pages_create(PAGE_ZONE_DATA, 10000, PAGE_WRITE, SLOT(memory)), OK);
    struct block *block = block_table_find(&table, 0x1000);
    STORE(block->memory, memory);
    assert_int_equal(host_pages_use().frames, frames + 3);
    block_table_remove(&table, block);
    assert_int_equal(host_pages_use().frames, frames);
    assert_null(block_table_find(&table, 0x1000));
    assert_null(block_table_find(&table, 0));
}

static void test_block_table_without_memory_is_unchanged(void **state)
{
    uint64_t room = table.capacity / 4 * 3;
    for (uint64_t i = 0; i < room; i++) {
        put((i + 1) * PAGE_SIZE, i);
    }
    uint64_t requests = 3; /* frames, pages, mapping */
    for (uint64_t number = 1; number <= requests; number++) {
        host_pages_fail(number, false);
        assert_int_not_equal(block_table_reserve(&table), OK);
        host_pages_fail(0, false);
        assert_int_equal(table.count, room);
        for (uint64_t i = 0; i < room; i++) {
            assert_int_equal(block_table_find(&table, (i + 1) * PAGE_SIZE)->note, i);
        }
    }
    assert_int_equal(block_table_reserve(&table), OK);
    empty_table();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_table_agrees_with_an_array),
        cmocka_unit_test(test_block_table_removal_drops_the_mapping),
        cmocka_unit_test(test_block_table_without_memory_is_unchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
