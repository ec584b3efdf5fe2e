/* SPDX-License-Identifier: MIT */
/* Pages come from the host's allocator, one call a run, so that the sanitizer sees every run's end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "logger.h"
#include "mapped_pages.h"

static bool no_memory;
static size_t pages_out;
static unsigned complaints;

struct mapped_pages {
    vaddr_t start;
    size_t page_count;
};

enum status mapped_pages_create(enum page_zone zone, size_t bytes, unsigned flags,
                                struct mapped_pages **out)
{
    assert_int_equal(zone, PAGE_ZONE_DATA);
    assert_int_equal(flags, PAGE_WRITE);
    assert_null(*out);
    if (no_memory) {
        return ERR_NO_MEMORY;
    }
    size_t size = page_count_of(bytes) * PAGE_SIZE;
    void *memory = size ? aligned_alloc(PAGE_SIZE, size) : NULL;
    struct mapped_pages *handle = memory ? malloc(sizeof(*handle)) : NULL;
    if (!handle) {
        free(memory);
        return ERR_NO_MEMORY;
    }
    *handle = (struct mapped_pages){.start = (vaddr_t)memory, .page_count = page_count_of(bytes)};
    pages_out += handle->page_count;
    *out = handle;
    return OK;
}

vaddr_t mapped_pages_start(const struct mapped_pages *pages)
{
    return pages->start;
}

uint64_t mapped_pages_count(const struct mapped_pages *pages)
{
    return pages->page_count;
}

void mapped_pages_drop(struct mapped_pages **handle)
{
    if (*handle) {
        pages_out -= (*handle)->page_count;
        free((void *)(*handle)->start);
        free(*handle);
        *handle = NULL;
    }
}

void logger_write(enum log_level level, const char *cell, const char *format, ...)
{
    (void)cell;
    (void)format;
    assert_int_equal(level, LOG_ERROR);
    complaints++;
}

static void assert_consistent(uint64_t blocks)
{
    struct heap_statistics now = heap_statistics();
    assert_int_equal(now.blocks_in_use, blocks);
    assert_int_equal(now.bytes_mapped, pages_out * PAGE_SIZE);
    assert_true(now.bytes_in_use <= now.bytes_mapped);
    if (blocks == 0) {
        assert_int_equal(now.bytes_in_use, 0);
    }
}

static void test_allocate_every_size_is_aligned_and_usable(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < 9000; bytes += 1 + bytes / 40) {
        char *block = heap_allocate(bytes);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % HEAP_ALIGNMENT, 0);
        memset(block, 0x5a, bytes);
        heap_free(block);
    }
    assert_consistent(0);
}

static void test_free_of_all_gives_pages_back(void **state)
{
    (void)state;
    static void *blocks[2000];
    for (size_t i = 0; i < ARRAY_COUNT(blocks); i++) {
        blocks[i] = heap_allocate(64);
        assert_non_null(blocks[i]);
    }
    size_t peak = pages_out;
    for (size_t i = 0; i < ARRAY_COUNT(blocks); i++) {
        heap_free(blocks[i]);
    }
    assert_true(peak >= 2000 * 64 / 4096);
    assert_true(pages_out <= 13); /* one run kept for each class at most */
    assert_consistent(0);
}

static void test_allocate_and_free_in_turn_maps_once(void **state)
{
    (void)state;
    void *first = heap_allocate(100);
    heap_free(first);
    size_t before = pages_out;
    for (int i = 0; i < 10; i++) {
        void *block = heap_allocate(100);
        assert_ptr_equal(block, first);
        assert_int_equal(pages_out, before);
        heap_free(block);
        assert_int_equal(pages_out, before);
    }
}

static void test_large_blocks_return_their_pages(void **state)
{
    (void)state;
    size_t before = pages_out;
    char *block = heap_allocate(1000000);
    assert_non_null(block);
    memset(block, 1, 1000000);
    assert_int_equal(pages_out - before, (1000000 + 128 + 4095) / 4096);
    heap_free(block);
    assert_int_equal(pages_out, before);
    assert_consistent(0);
}

static void test_no_memory_gives_null_and_is_counted(void **state)
{
    (void)state;
    uint64_t failures = heap_statistics().failures;
    no_memory = true;
    assert_null(heap_allocate(5000));
    void *blocks[300];
    size_t count = 0;
    while (count < ARRAY_COUNT(blocks) && (blocks[count] = heap_allocate(16)) != NULL) {
        count++;
    }
    assert_true(count < ARRAY_COUNT(blocks)); /* at most what was left in a run */
    no_memory = false;
    assert_int_equal(heap_statistics().failures, failures + 2);
    while (count > 0) {
        heap_free(blocks[--count]);
    }
    assert_null(heap_allocate(SIZE_MAX));
    assert_null(heap_allocate(SIZE_MAX - 128));
    assert_consistent(0);
}

static void test_bad_free_is_reported_and_ignored(void **state)
{
    (void)state;
    char *block = heap_allocate(48);
    char *neighbour = heap_allocate(48);
    unsigned before = complaints;
    uint64_t bad_frees = heap_statistics().bad_frees;
    heap_free(NULL);
    assert_int_equal(complaints, before);
    heap_free(block + 16);
    assert_int_equal(complaints, before + 1);
    assert_consistent(2);
    heap_free((void *)page_align_down((uintptr_t)block));
    heap_free(block);
    heap_free(block); /* again; the neighbour keeps the run alive */
    assert_int_equal(complaints, before + 3);
    assert_int_equal(heap_statistics().bad_frees, bad_frees + 3);
    assert_consistent(1);
    char *large = heap_allocate(10000);
    heap_free(large + 16);
    assert_int_equal(complaints, before + 4);
    heap_free(large);
    heap_free(neighbour);
    assert_consistent(0);
}

#define LIVE 400

static void test_random_use_never_overlaps(void **state)
{
    (void)state;
    static struct {
        uint8_t *block;
        size_t bytes;
        uint8_t mark;
    } live[LIVE];
    uint64_t count = 0;
    srand(7);
    for (int step = 0; step < 20000; step++) {
        size_t i = (size_t)rand() % LIVE;
        if (live[i].block) {
            for (size_t b = 0; b < live[i].bytes; b++) {
                assert_int_equal(live[i].block[b], live[i].mark);
            }
            heap_free(live[i].block);
            live[i].block = NULL;
            count--;
        } else {
            live[i].bytes = (size_t)rand() % (rand() % 20 ? 300 : 12000);
            live[i].mark = (uint8_t)rand();
            live[i].block = heap_allocate(live[i].bytes);
            assert_non_null(live[i].block);
            memset(live[i].block, live[i].mark, live[i].bytes);
            count++;
        }
        assert_consistent(count);
    }
    for (size_t i = 0; i < LIVE; i++) {
        heap_free(live[i].block);
    }
    assert_consistent(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocate_every_size_is_aligned_and_usable),
        cmocka_unit_test(test_free_of_all_gives_pages_back),
        cmocka_unit_test(test_allocate_and_free_in_turn_maps_once),
        cmocka_unit_test(test_large_blocks_return_their_pages),
        cmocka_unit_test(test_no_memory_gives_null_and_is_counted),
        cmocka_unit_test(test_bad_free_is_reported_and_ignored),
        cmocka_unit_test(test_random_use_never_overlaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
