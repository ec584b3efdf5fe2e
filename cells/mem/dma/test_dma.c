/* SPDX-License-Identifier: MIT */
/* Frames and pages are real, as numbers; what is mapped is an array of the host's memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "boot_info.h"
#include "descriptor_pool.h"
#include "dma.h"
#include "frame_allocator.h"
#include "mapped_pages.h"
#include "page_allocator.h"

#define MIB 0x100000ull

static _Alignas(4096) uint8_t memory[4 * PAGE_SIZE];

struct mapped_pages {
    struct pages *pages;
    struct frames *frames;
};

static struct mapped_pages mappings[4];
static bool refuse_mapping;

enum status mapped_pages_map(struct pages **pages, struct frames **frames, unsigned flags,
                             struct mapped_pages **out)
{
    assert_int_equal(flags, PAGE_WRITE);
    assert_int_equal(frames_count(*frames), pages_count(*pages));
    if (refuse_mapping) {
        return ERR_NO_MEMORY;
    }
    struct mapped_pages *mapped = mappings;
    while (mapped->pages) {
        mapped++;
        assert_true(mapped < mappings + ARRAY_COUNT(mappings));
    }
    *mapped = (struct mapped_pages){.pages = *pages, .frames = *frames};
    *pages = NULL;
    *frames = NULL;
    FILL(out, mapped);
    return OK;
}

void mapped_pages_drop(struct mapped_pages **handle)
{
    if (*handle) {
        pages_drop(&(*handle)->pages);
        frames_drop(&(*handle)->frames);
        *handle = NULL;
    }
}

uint64_t mapped_pages_count(const struct mapped_pages *mapped)
{
    return pages_count(mapped->pages);
}

void *mapped_pages_access(const struct mapped_pages *mapped, uint64_t offset, uint64_t size,
                          uint64_t alignment, uint64_t count, unsigned needed)
{
    assert_int_equal(needed, PAGE_WRITE);
    bool is_inside = offset + size * count <= mapped_pages_count(mapped) * PAGE_SIZE;
    return is_inside && offset % alignment == 0 ? memory + offset : NULL;
}

/* 1 to 9 MiB, and 9 to 10 MiB above 4 GiB. */
static int start(void **state)
{
    (void)state;
    static struct boot_info boot;
    boot.memory_count = 2;
    boot.memory[0] =
        (struct boot_memory){.start = MIB, .bytes = 8 * MIB, .kind = BOOT_MEMORY_USABLE};
    boot.memory[1] = (struct boot_memory){
        .start = DMA_LIMIT_32 + 9 * MIB, .bytes = MIB, .kind = BOOT_MEMORY_USABLE};
    refuse_mapping = false;
    return frame_allocator_init(&boot, 0, 0) != OK || page_allocator_init() != OK;
}

static void test_create_is_aligned_and_below_the_limit(void **state)
{
    (void)state;
    OWNED(dma_buffer, a);
    OWNED(dma_buffer, b);
    assert_int_equal(dma_buffer_create(1, 1, PHYSICAL_LIMIT, SLOT(a)), OK);
    assert_int_equal(dma_buffer_size(REF(a)), PAGE_SIZE);
    assert_int_equal(dma_buffer_create(3 * PAGE_SIZE, 2 * MIB, 8 * MIB, SLOT(b)), OK);
    assert_int_equal(dma_buffer_physical(REF(b)) % (2 * MIB), 0);
    assert_true(dma_buffer_physical(REF(b)) + 3 * PAGE_SIZE <= 8 * MIB);
    assert_int_equal(dma_buffer_size(REF(b)), 3 * PAGE_SIZE);
}

static void test_create_only_high_memory_left_respects_the_limit(void **state)
{
    (void)state;
    OWNED(frames, low);
    OWNED(dma_buffer, buffer);
    assert_int_equal(frame_allocator_take(8 * MIB / PAGE_SIZE, 1, SLOT(low)), OK);
    assert_int_equal(dma_buffer_create(1, 1, DMA_LIMIT_32, SLOT(buffer)), ERR_NO_MEMORY);
    assert_int_equal(dma_buffer_create(1, 1, PHYSICAL_LIMIT, SLOT(buffer)), OK);
    assert_int_equal(dma_buffer_physical(REF(buffer)), DMA_LIMIT_32 + 9 * MIB);
}

/* The frame that was given back last is high, and yet a low one is found. */
static void test_create_high_frames_offered_first_finds_a_low_one(void **state)
{
    (void)state;
    OWNED(frames, high);
    OWNED(dma_buffer, buffer);
    assert_int_equal(frame_allocator_take_at(DMA_LIMIT_32 + 9 * MIB, 1, SLOT(high)), OK);
    frames_drop(SLOT(high));
    assert_int_equal(dma_buffer_create(1, 1, DMA_LIMIT_32, SLOT(buffer)), OK);
    assert_true(dma_buffer_physical(REF(buffer)) < DMA_LIMIT_32);
}

static void test_create_nonsense_is_refused_and_nothing_kept(void **state)
{
    (void)state;
    OWNED(dma_buffer, buffer);
    uint64_t free = frame_allocator_statistics().free;
    assert_int_equal(dma_buffer_create(0, 1, PHYSICAL_LIMIT, SLOT(buffer)), ERR_INVALID_ARGUMENT);
    assert_int_equal(dma_buffer_create(1, 0, PHYSICAL_LIMIT, SLOT(buffer)), ERR_INVALID_ARGUMENT);
    assert_int_equal(dma_buffer_create(1, 3, PHYSICAL_LIMIT, SLOT(buffer)), ERR_INVALID_ARGUMENT);
    assert_int_equal(dma_buffer_create(1, 1, UINT64_MAX, SLOT(buffer)), ERR_INVALID_ARGUMENT);
    assert_int_equal(dma_buffer_create(UINT64_MAX, 1, PHYSICAL_LIMIT, SLOT(buffer)), ERR_NO_MEMORY);
    assert_int_equal(dma_buffer_create(1, 1ull << 63, PHYSICAL_LIMIT, SLOT(buffer)), ERR_NO_MEMORY);
    assert_int_equal(dma_buffer_create(PAGE_SIZE, 1, MIB, SLOT(buffer)), ERR_NO_MEMORY);
    assert_int_equal(dma_buffer_create(8 * MIB + 1, 1, DMA_LIMIT_32, SLOT(buffer)), ERR_NO_MEMORY);
    refuse_mapping = true;
    assert_int_equal(dma_buffer_create(1, 1, DMA_LIMIT_32, SLOT(buffer)), ERR_NO_MEMORY);
    assert_int_equal(frame_allocator_statistics().free, free);
}

static void test_access_is_inside_or_nothing(void **state)
{
    (void)state;
    OWNED(dma_buffer, buffer);
    assert_int_equal(dma_buffer_create(2 * PAGE_SIZE, 1, DMA_LIMIT_32, SLOT(buffer)), OK);
    volatile uint64_t *words = DMA_SLICE(uint64_t, REF(buffer), 8, 4);
    assert_non_null(words);
    words[3] = 7;
    assert_int_equal(*DMA_AS(uint64_t, REF(buffer), 32), 7);
    assert_null(DMA_AS(uint64_t, REF(buffer), 2 * PAGE_SIZE - 4));
    assert_null(DMA_AS(uint64_t, REF(buffer), 2 * PAGE_SIZE));
    assert_null(DMA_SLICE(uint8_t, REF(buffer), 1, 2 * PAGE_SIZE));
    dma_buffer_drop(SLOT(buffer));
    dma_buffer_drop(SLOT(buffer)); /* empty: nothing to do */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_create_is_aligned_and_below_the_limit, start),
        cmocka_unit_test_setup(test_create_only_high_memory_left_respects_the_limit, start),
        cmocka_unit_test_setup(test_create_high_frames_offered_first_finds_a_low_one, start),
        cmocka_unit_test_setup(test_create_nonsense_is_refused_and_nothing_kept, start),
        cmocka_unit_test_setup(test_access_is_inside_or_nothing, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
