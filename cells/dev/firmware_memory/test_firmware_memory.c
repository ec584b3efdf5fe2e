/* SPDX-License-Identifier: MIT */
/* Frames and pages are real, as numbers; what is mapped is a part of an array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "boot_info.h"
#include "descriptor_pool.h"
#include "firmware_memory.h"
#include "frame_allocator.h"
#include "mapped_pages.h"
#include "page_allocator.h"

#define MIB      0x100000ull
#define FIRMWARE (8 * MIB) /* reserved */
#define PAGES    4u

static _Alignas(4096) uint8_t memory[PAGES * PAGE_SIZE];

struct mapped_pages {
    struct pages *pages;
    struct frames *frames;
};

static struct mapped_pages mapped;
static unsigned mappings;
static bool refuse_mapping;

enum status mapped_pages_map(struct pages **pages, struct frames **frames, unsigned flags,
                             struct mapped_pages **out)
{
    assert_int_equal(flags, PAGE_READ);
    assert_int_equal(frames_count(*frames), 1);
    assert_int_equal(pages_count(*pages), 1);
    assert_null(mapped.pages);
    if (refuse_mapping) {
        return ERR_NO_MEMORY;
    }
    mapped = (struct mapped_pages){.pages = *pages, .frames = *frames};
    *pages = NULL;
    *frames = NULL;
    mappings++;
    FILL(out, &mapped);
    return OK;
}

void mapped_pages_drop(struct mapped_pages **handle)
{
    if (*handle) {
        pages_drop(&mapped.pages);
        frames_drop(&mapped.frames);
        *handle = NULL;
    }
}

void *mapped_pages_access(const struct mapped_pages *pages, uint64_t offset, uint64_t size,
                          uint64_t alignment, uint64_t count, unsigned needed)
{
    (void)alignment;
    assert_int_equal(needed, PAGE_READ);
    assert_true(size * count <= PAGE_SIZE && offset <= PAGE_SIZE - size * count);
    uint64_t at = frames_start(pages->frames) % (PAGES * PAGE_SIZE) + offset;
    return memory + at;
}

static uint64_t free_frames;
static uint64_t free_pages;

static int start(void **state)
{
    (void)state;
    static struct boot_info boot;
    boot.memory_count = 3;
    boot.memory[0] = (struct boot_memory){.bytes = MIB, .kind = BOOT_MEMORY_USABLE};
    boot.memory[1] =
        (struct boot_memory){.start = MIB, .bytes = 7 * MIB, .kind = BOOT_MEMORY_USABLE};
    boot.memory[2] = (struct boot_memory){
        .start = FIRMWARE, .bytes = PAGES * PAGE_SIZE, .kind = BOOT_MEMORY_ACPI_RECLAIMABLE};
    for (size_t i = 0; i < sizeof(memory); i++) {
        memory[i] = (uint8_t)(i * 7 + i / 256);
    }
    refuse_mapping = false;
    mappings = 0;
    if (frame_allocator_init(&boot, 0, 0) != OK || page_allocator_init() != OK) {
        return 1;
    }
    free_frames = frame_allocator_statistics().free;
    free_pages = page_allocator_statistics(PAGE_ZONE_DATA).free;
    return 0;
}

/* Nothing is kept, whatever happened. */
static int finish(void **state)
{
    (void)state;
    OWNED(frames, frames);
    assert_null(mapped.pages);
    assert_int_equal(frame_allocator_statistics().free, free_frames);
    assert_int_equal(page_allocator_statistics(PAGE_ZONE_DATA).free, free_pages);
    assert_int_equal(frame_allocator_take_at(FIRMWARE, PAGES, SLOT(frames)), OK);
    return 0;
}

static void test_read_any_part_of_any_frames(void **state)
{
    static const struct {
        size_t offset, size;
        unsigned mappings;
    } cases[] = {{0, 0, 0},
                 {0, 1, 1},
                 {PAGE_SIZE - 1, 1, 1},
                 {PAGE_SIZE - 1, 2, 2},
                 {100, PAGE_SIZE, 2},
                 {PAGE_SIZE, PAGE_SIZE, 1},
                 {3, PAGES * PAGE_SIZE - 3, 4}};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t copy[sizeof(memory) + 1];
        memset(copy, 0xee, sizeof(copy));
        mappings = 0;
        assert_int_equal(firmware_memory_read(FIRMWARE + cases[i].offset, copy, cases[i].size), OK);
        assert_memory_equal(copy, memory + cases[i].offset, cases[i].size);
        assert_int_equal(copy[cases[i].size], 0xee);
        assert_int_equal(mappings, cases[i].mappings);
    }
}

static void test_read_first_megabyte_and_unmentioned_memory_can_be_read(void **state)
{
    (void)state;
    uint8_t byte;
    assert_int_equal(firmware_memory_read(0x40e, &byte, 1), OK);
    assert_int_equal(firmware_memory_read(0xfffff, &byte, 1), OK);
    assert_int_equal(firmware_memory_read(0xff000000, &byte, 1), OK);
}

static void test_read_ram_is_refused_before_it_is_mapped(void **state)
{
    (void)state;
    uint8_t bytes[32];
    assert_int_equal(firmware_memory_read(2 * MIB, bytes, 1), ERR_PERMISSION);
    assert_int_equal(mappings, 0);
    assert_int_equal(firmware_memory_read(FIRMWARE - 16, bytes, 32), ERR_PERMISSION);
    assert_int_equal(firmware_memory_read(MIB - 16, bytes, 32), ERR_PERMISSION);
}

static void test_read_frames_of_somebody_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[32];
    OWNED(frames, frames);
    assert_int_equal(frame_allocator_take_at(FIRMWARE + PAGE_SIZE, 1, SLOT(frames)), OK);
    assert_int_equal(firmware_memory_read(FIRMWARE + PAGE_SIZE - 16, bytes, 32), ERR_BUSY);
    assert_int_equal(firmware_memory_read(FIRMWARE + PAGE_SIZE - 16, bytes, 16), OK);
}

static void test_read_nonsense_and_lack_of_memory(void **state)
{
    (void)state;
    uint8_t byte;
    assert_int_equal(firmware_memory_read(PHYSICAL_LIMIT, &byte, 1), ERR_OUT_OF_BOUNDS);
    assert_int_equal(firmware_memory_read(UINT64_MAX, &byte, 1), ERR_OUT_OF_BOUNDS);
    assert_int_equal(firmware_memory_read(PHYSICAL_LIMIT - 1, &byte, 2), ERR_OUT_OF_BOUNDS);
    assert_int_equal(firmware_memory_read(FIRMWARE, &byte, SIZE_MAX), ERR_OUT_OF_BOUNDS);
    refuse_mapping = true;
    assert_int_equal(firmware_memory_read(FIRMWARE, &byte, 1), ERR_NO_MEMORY);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)
    const struct CMUnitTest tests[] = {
        TEST(test_read_any_part_of_any_frames),
        TEST(test_read_first_megabyte_and_unmentioned_memory_can_be_read),
        TEST(test_read_ram_is_refused_before_it_is_mapped),
        TEST(test_read_frames_of_somebody_are_refused),
        TEST(test_read_nonsense_and_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
