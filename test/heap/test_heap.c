/* SPDX-License-Identifier: MIT */
/*
 * What every heap must do, and what each of them detects: the table in heap.h. One program, linked
 * with each heap in turn; HEAP_KIND says which. Below it is host_pages.c.
 *
 * The order of the tests matters for the first: it sees the heap before anything was allocated.
 */
#include "heap.h"
#include "heap_slabs.h"
#include "host_pages.h"
#include "logger.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define UNSAFE  1
#define PARTIAL 2
#define SAFE    3
#define GUARDED 4

/* What a heap may keep when nothing is allocated. */
#define KEPT_MAX \
    (HEAP_KIND == GUARDED ? (4u << 20) : (HEAP_CLASS_COUNT + SPARE_SLABS_MAX) * SLAB_SIZE)

static unsigned complaints;

void logger_write(enum log_level level, const char *cell, const char *format, ...)
{
    assert_int_equal(level, LOG_ERROR);
    complaints++;
}

/* The heap's own figures agree with each other and with what was taken from below. */
static void assert_consistent(uint64_t blocks)
{
    struct heap_statistics now = heap_statistics();
    assert_int_equal(now.blocks_in_use, blocks);
    assert_int_equal(now.bytes_mapped + now.bytes_metadata, host_pages_use().frames * PAGE_SIZE);
    assert_int_equal(host_pages_use().mapped, host_pages_use().frames);
    assert_true(now.bytes_in_use <= now.bytes_mapped);
    if (blocks == 0) {
        assert_int_equal(now.bytes_in_use, 0);
        assert_true(now.bytes_mapped <= KEPT_MAX);
    }
}

/* ---- success ---- */

static void test_allocate_every_size_is_aligned_and_usable(void **state)
{
    for (size_t bytes = 0; bytes < 9000; bytes += 1 + bytes / 400) {
        char *block = heap_allocate(bytes);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % HEAP_ALIGNMENT, 0);
        memset(block, 0x5a, bytes);
        heap_free(block);
    }
    assert_consistent(0);
}

static void test_allocate_zeroed_clears_what_was_used_before(void **state)
{
    static const size_t sizes[] = {1, 8, 100, 3968, 3969, 50000};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        char *block = heap_allocate(sizes[i]);
        assert_non_null(block);
        memset(block, 0xff, sizes[i]);
        heap_free(block);
        block = heap_allocate_zeroed(sizes[i]);
        assert_non_null(block);
        for (size_t k = 0; k < sizes[i]; k++) {
            assert_int_equal(block[k], 0);
        }
        heap_free(block);
    }
    assert_consistent(0);
}

static void test_free_of_all_gives_memory_back(void **state)
{
    enum { COUNT = 3000 };
    static void *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = heap_allocate(500);
        assert_non_null(blocks[i]);
    }
    assert_consistent(COUNT);
    assert_true(heap_statistics().bytes_mapped >= COUNT * 500);
    /* Every third first, so that no slab is emptied in order. */
    for (size_t step = 0; step < 3; step++) {
        for (size_t i = step; i < COUNT; i += 3) {
            heap_free(blocks[i]);
        }
    }
    assert_consistent(0);
}

static void test_allocate_and_free_in_turn_asks_for_memory_once(void **state)
{
    heap_free(heap_allocate(700));
    host_pages_fail(0, false);
    for (int i = 0; i < 100; i++) {
        void *block = heap_allocate(700);
        assert_non_null(block);
        heap_free(block);
    }
    assert_true(HEAP_KIND == GUARDED || host_pages_fail(0, false) == 0);
}

static void test_free_large_block_returns_its_pages(void **state)
{
    uint64_t before = host_pages_use().frames;
    char *block = heap_allocate(5000000);
    assert_non_null(block);
    memset(block, 1, 5000000);
    assert_true(host_pages_use().frames - before >= 5000000 / PAGE_SIZE);
    heap_free(block);
    assert_true(host_pages_use().frames <= before + PAGE_SIZE / sizeof(void *));
    assert_consistent(0);
}

/* ---- a simple reference, and millions of operations ---- */

#define LIVE 3000

struct live {
    uint8_t *block;
    size_t bytes;
    uint8_t mark;
};

static struct live live[LIVE];
static uint64_t live_count;
static uint64_t live_bytes;
static uint64_t random_state = 88172645463325252ull;

static uint64_t random_number(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

static size_t random_size(void)
{
    switch (random_number(16)) {
    case 0:
        return random_number(20000);
    case 1:
        return random_number(HEAP_SMALL_MAX + 2);
    case 2:
        return 0;
    case 3:
        return 1ull << random_number(15);
    default:
        return random_number(300);
    }
}

/* Both ends of a block, and now and then all of it: writing all would hide what a heap costs. */
static void fill(const struct live *one, bool check)
{
    size_t edge = one->bytes < 32 || one->mark % 16 == 0 ? one->bytes : 16;
    for (size_t i = 0; i < edge; i++) {
        uint8_t *low = &one->block[i];
        uint8_t *high = &one->block[one->bytes - 1 - i];
        if (check && (*low != one->mark || *high != one->mark)) {
            fail_msg("byte %zu of a block of %zu is %x, not %x", i, one->bytes, *low, one->mark);
        }
        *low = one->mark;
        *high = one->mark;
    }
}

static void live_free(struct live *one)
{
    fill(one, true);
    heap_free(one->block);
    live_count--;
    live_bytes -= one->bytes;
    one->block = NULL;
}

/* False when the heap had no memory. */
static bool live_allocate(struct live *one)
{
    one->bytes = random_size();
    one->mark = (uint8_t)random_number(256);
    one->block = heap_allocate(one->bytes);
    if (!one->block) {
        return false;
    }
    assert_int_equal((uintptr_t)one->block % HEAP_ALIGNMENT, 0);
    fill(one, false);
    live_count++;
    live_bytes += one->bytes;
    return true;
}

static void free_all(void)
{
    for (size_t i = 0; i < LIVE; i++) {
        if (live[i].block) {
            live_free(&live[i]);
        }
    }
    assert_consistent(0);
}

static void test_random_use_agrees_with_the_reference(void **state)
{
    uint64_t allocations = heap_statistics().allocations;
    uint64_t expected = 0;
    size_t bound = LIVE;
    for (uint64_t step = 0; step < RANDOM_STEPS; step++) {
        if (step % 50000 == 0) {
            bound = 1 + random_number(LIVE); /* the live set grows and shrinks */
            free_all();
        }
        struct live *one = &live[random_number(bound)];
        if (one->block) {
            live_free(one);
        } else {
            assert_true(live_allocate(one));
            expected++;
        }
        if (step % 1000 == 0) {
            assert_consistent(live_count);
            assert_true(heap_statistics().bytes_in_use >= live_bytes);
        }
    }
    free_all();
    assert_int_equal(heap_statistics().allocations, allocations + expected);
    assert_int_equal(heap_statistics().bad_frees, 0);
    assert_int_equal(heap_check(), 0);
}

#if HEAP_KIND == PARTIAL
/* Who looks for pointers in memory must know what is nobody's (pointer_scan.h). */
static void test_free_blocks_are_known_as_such(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 16, 40, 256, 1000, 3000};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        char *block = heap_allocate(sizes[i]);
        assert_non_null(block);
        assert_false(heap_is_free((uintptr_t)block));
        assert_false(heap_is_free((uintptr_t)block + sizes[i] - 1));
        heap_free(block);
        assert_true(heap_is_free((uintptr_t)block));
        assert_true(heap_is_free((uintptr_t)block + sizes[i] - 1));
    }
    char *large = heap_allocate(100000);
    assert_non_null(large);
    assert_false(heap_is_free((uintptr_t)large + 90000));
    heap_free(large);
    assert_false(heap_is_free((uintptr_t)&state));
}
#endif

/* ---- exhaustion ---- */

/* As many blocks as it takes to need fresh slabs; returns how many requests below were made. */
static uint64_t use_with_failure(uint64_t number, bool for_ever)
{
    uint64_t failures = heap_statistics().failures;
    uint64_t seen = 0;
    host_pages_fail(number, for_ever);
    for (size_t i = 0; i < LIVE; i += HEAP_KIND == GUARDED ? 100 : 1) {
        seen += !live_allocate(&live[i]);
    }
    uint64_t requests = host_pages_fail(0, false);
    assert_int_equal(heap_statistics().failures, failures + seen);
    assert_consistent(live_count);
    free_all();
    return requests;
}

/* Must come first: then the failing requests include all that the heap sets up with. */
static void test_allocate_when_any_request_fails_loses_nothing(void **state)
{
    for (uint64_t number = 1; number < 40; number++) {
        use_with_failure(number, true);
    }
    uint64_t number = 1;
    while (number <= use_with_failure(number, false) && number < FAILING_REQUESTS) {
        number++;
    }
    assert_true(number > 20);
}

static void test_allocate_until_memory_ends_and_again_after_free(void **state)
{
    host_pages_limit(host_pages_use().frames + 2000);
    uint64_t counts[2] = {0, 0};
    for (unsigned round = 0; round < 2; round++) {
        void **chain = NULL; /* through the blocks */
        void **block;
        while ((block = heap_allocate(1000)) != NULL) {
            *block = chain;
            chain = block;
            counts[round]++;
        }
        assert_consistent(counts[round]);
        while (chain) {
            block = *chain;
            heap_free(chain);
            chain = block;
        }
        assert_consistent(0);
    }
    host_pages_limit(0);
    assert_true(counts[0] > 500);
    assert_int_equal(counts[0], counts[1]);
}

static void test_allocate_impossible_sizes_is_refused(void **state)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 512, SIZE_MAX / 2};
    uint64_t failures = heap_statistics().failures;
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        assert_null(heap_allocate(sizes[i]));
        assert_null(heap_allocate_zeroed(sizes[i]));
    }
    assert_int_equal(heap_statistics().failures, failures + 2 * ARRAY_COUNT(sizes));
    assert_consistent(0);
}

/* ---- misuse ---- */

static void test_free_of_null_is_no_error(void **state)
{
    unsigned before = complaints;
    heap_free(NULL);
    assert_int_equal(complaints, before);
    assert_int_equal(heap_statistics().bad_frees, 0);
}

/* Counts exactly one more bad release for each call that is made in between. */
static uint64_t bad_frees_before;
static unsigned complaints_before;

static void expect_bad_frees(void)
{
    bad_frees_before = heap_statistics().bad_frees;
    complaints_before = complaints;
}

static void assert_bad_frees(unsigned count)
{
    assert_int_equal(heap_statistics().bad_frees - bad_frees_before, count);
    assert_int_equal(complaints - complaints_before, count);
}

UNUSED static void test_free_twice_is_counted_and_harmless(void **state)
{
    static const size_t sizes[] = {1, 16, 100, 1000, 3968, 4096, 100000};
    /* A large block of heap_partial is found by what it begins with, and that is gone. */
    for (size_t i = 0; i < ARRAY_COUNT(sizes) - (HEAP_KIND == PARTIAL ? 2 : 0); i++) {
        char *block = heap_allocate(sizes[i]);
        char *neighbour = heap_allocate(sizes[i]);
        assert_non_null(block);
        assert_non_null(neighbour);
        heap_free(block);
        expect_bad_frees();
        heap_free(block);
        heap_free(block);
        assert_bad_frees(2);
        assert_consistent(1);
        char *next = heap_allocate(sizes[i]);
        char *last = heap_allocate(sizes[i]);
        assert_true(next && last && next != last && next != neighbour && last != neighbour);
        heap_free(neighbour);
        heap_free(next);
        heap_free(last);
        assert_consistent(0);
    }
}

UNUSED static void test_free_of_other_addresses_is_counted_and_harmless(void **state)
{
    static const size_t sizes[] = {16, 48, 1000, 3968, 4096, 100000};
    static char outside[64];
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        char *block = heap_allocate(sizes[i]);
        assert_non_null(block);
        unsigned count = 0;
        expect_bad_frees();
        for (size_t offset = 1; offset < sizes[i]; offset++, count++) {
            heap_free(block + offset);
        }
        for (size_t page = 1; page < 300; page++, count += 2) {
            heap_free((void *)(page_align_down((uintptr_t)block) - page * PAGE_SIZE));
            heap_free((void *)(page * 0x7fffffffffffull));
        }
        heap_free(outside);
        heap_free(&count);
        heap_free((void *)UINTPTR_MAX);
        heap_free((void *)16);
        assert_bad_frees(count + 4);
        assert_consistent(1);
        heap_free(block);
        assert_consistent(0);
    }
}

/* Every address of a slab: its front, which no block begins in, and all that is between. */
UNUSED static void test_free_of_any_address_of_a_slab_is_counted(void **state)
{
    static char *blocks[SLAB_SIZE / 64];
    for (size_t i = 0; i < ARRAY_COUNT(blocks); i++) {
        blocks[i] = heap_allocate(64);
        assert_non_null(blocks[i]);
        memset(blocks[i], 0xf1, 64);
    }
    char *slab = (char *)((uintptr_t)blocks[100] & ~(uintptr_t)(SLAB_SIZE - 1));
    unsigned expected = 0;
    expect_bad_frees();
    /* heap_partial sees multiples of 8: the 7 bytes behind a block's first are taken for it. */
    for (size_t offset = 0; offset < SLAB_SIZE; offset += HEAP_KIND == PARTIAL ? 8 : 1) {
        if (offset < SLAB_FIRST || offset % 64 != 0) {
            heap_free(slab + offset);
            expected++;
        }
    }
    assert_bad_frees(expected);
    assert_consistent(ARRAY_COUNT(blocks));
    for (size_t i = 0; i < ARRAY_COUNT(blocks); i++) {
        heap_free(blocks[i]);
    }
    assert_consistent(0);
}

UNUSED static void test_write_after_free_does_not_reach_the_records(void **state)
{
    enum { COUNT = 500 };
    static void *blocks[COUNT];
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = heap_allocate(32);
            assert_non_null(blocks[i]);
            memset(blocks[i], (int)i, 32);
        }
        for (size_t i = 0; i < COUNT; i++) {
            uint8_t wanted = (uint8_t)i;
            assert_memory_equal(blocks[i], &wanted, 1); /* nobody else has it */
            heap_free(blocks[i]);
            if (i % 2) {
                memset(blocks[i], 0xee, 32); /* the slab is still mapped: others are in use */
            }
        }
    }
    assert_consistent(0);
}

/* ---- what only the guarded heap sees ---- */

static jmp_buf faulted;

static void on_fault(int number)
{
    siglongjmp(*(sigjmp_buf *)&faulted, number);
}

static bool write_faults(volatile char *address)
{
    struct sigaction old;
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
    sigaction(SIGSEGV, &action, &old);
    volatile bool did = false;
    if (sigsetjmp(*(sigjmp_buf *)&faulted, 0) == 0) {
        *address = 1;
    } else {
        did = true;
    }
    sigaction(SIGSEGV, &old, NULL);
    return did;
}

UNUSED static void test_write_around_a_block_is_found(void **state)
{
    static const size_t sizes[] = {1, 17, 100, 4000, 5000};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        for (unsigned before = 0; before < 2; before++) {
            char *block = heap_allocate(sizes[i]);
            assert_non_null(block);
            assert_int_equal(heap_check(), 0);
            uint64_t damaged = heap_statistics().damaged;
            char *place = before ? block - 1 : block + sizes[i];
            if (((uintptr_t)place & 15) == 0 && !before) {
                assert_true(write_faults(place)); /* the page ends with the block */
            } else {
                *place ^= 1;
                if (i % 2) {
                    assert_int_equal(heap_check(), 1);
                    assert_int_equal(heap_check(), 0);
                }
                damaged++;
            }
            heap_free(block);
            assert_int_equal(heap_statistics().damaged, damaged);
        }
    }
    assert_consistent(0);
}

UNUSED static void test_use_after_free_meets_poison_or_faults(void **state)
{
    char *block = heap_allocate(100);
    assert_non_null(block);
    memset(block, 7, 100);
    heap_free(block);
    assert_int_equal((uint8_t)block[50], 0xdf);
    assert_true(write_faults(block + 50));
    expect_bad_frees();
    heap_free(block);
    assert_bad_frees(1);
    char *other = heap_allocate(100);
    assert_ptr_not_equal(other, block);
    heap_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocate_when_any_request_fails_loses_nothing),
        cmocka_unit_test(test_allocate_every_size_is_aligned_and_usable),
#if HEAP_KIND == PARTIAL
        cmocka_unit_test(test_free_blocks_are_known_as_such),
#endif
        cmocka_unit_test(test_allocate_zeroed_clears_what_was_used_before),
        cmocka_unit_test(test_free_of_all_gives_memory_back),
        cmocka_unit_test(test_allocate_and_free_in_turn_asks_for_memory_once),
        cmocka_unit_test(test_free_large_block_returns_its_pages),
        cmocka_unit_test(test_random_use_agrees_with_the_reference),
        cmocka_unit_test(test_allocate_until_memory_ends_and_again_after_free),
        cmocka_unit_test(test_allocate_impossible_sizes_is_refused),
        cmocka_unit_test(test_free_of_null_is_no_error),
#if HEAP_KIND >= PARTIAL
        cmocka_unit_test(test_free_twice_is_counted_and_harmless),
#endif
#if HEAP_KIND == SAFE || HEAP_KIND == GUARDED
        cmocka_unit_test(test_free_of_other_addresses_is_counted_and_harmless),
#endif
#if HEAP_KIND == PARTIAL || HEAP_KIND == SAFE
        cmocka_unit_test(test_free_of_any_address_of_a_slab_is_counted),
#endif
#if HEAP_KIND == PARTIAL || HEAP_KIND == SAFE
        cmocka_unit_test(test_write_after_free_does_not_reach_the_records),
#endif
#if HEAP_KIND == GUARDED
        cmocka_unit_test(test_write_around_a_block_is_found),
        cmocka_unit_test(test_use_after_free_meets_poison_or_faults),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
