/* SPDX-License-Identifier: MIT */
/* Frames and pages are real, as numbers; what is mapped is an array of the host's memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "boot_info.h"
#include "descriptor_pool.h"
#include "frame_allocator.h"
#include "mapped_pages.h"
#include "mmio.h"
#include "page_allocator.h"

#define MIB      0x100000ull
#define DEVICE   (256 * MIB) /* no memory map mentions it */
#define FIRMWARE (8 * MIB)   /* reserved */

static _Alignas(4096) uint8_t registers[2 * PAGE_SIZE];

struct mapped_pages {
    struct pages *pages;
    struct frames *frames;
};

static struct mapped_pages mapped;
static bool refuse_mapping;

enum status mapped_pages_map(struct pages **pages, struct frames **frames, unsigned flags,
                             struct mapped_pages **out)
{
    assert_int_equal(flags, PAGE_WRITE | PAGE_UNCACHED);
    assert_true(frames_count(*frames) <= 2);
    assert_int_equal(frames_count(*frames), pages_count(*pages));
    if (refuse_mapping) {
        return ERR_NO_MEMORY;
    }
    mapped = (struct mapped_pages){.pages = *pages, .frames = *frames};
    *pages = NULL;
    *frames = NULL;
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

vaddr_t mapped_pages_start(const struct mapped_pages *pages)
{
    assert_ptr_equal(pages, &mapped);
    return (vaddr_t)registers;
}

static int start(void **state)
{
    (void)state;
    static struct boot_info boot;
    boot.memory_count = 2;
    boot.memory[0] =
        (struct boot_memory){.start = MIB, .bytes = 7 * MIB, .kind = BOOT_MEMORY_USABLE};
    boot.memory[1] =
        (struct boot_memory){.start = FIRMWARE, .bytes = MIB, .kind = BOOT_MEMORY_RESERVED};
    memset(registers, 0, sizeof(registers));
    refuse_mapping = false;
    return frame_allocator_init(&boot, 0, 0) != OK || page_allocator_init() != OK;
}

static void test_create_frames_have_one_owner(void **state)
{
    (void)state;
    OWNED(mmio, first);
    OWNED(mmio, second);
    assert_int_equal(mmio_create(DEVICE + 0x400, 0x400, SLOT(first)), OK);
    assert_int_equal(mmio_physical(REF(first)), DEVICE + 0x400);
    assert_int_equal(mmio_size(REF(first)), 0x400);
    assert_int_equal(mmio_create(DEVICE, 16, SLOT(second)), ERR_BUSY); /* the same frame */
    mmio_drop(SLOT(first));
    mmio_drop(SLOT(first)); /* empty: nothing to do */
    assert_int_equal(mmio_create(DEVICE, 16, SLOT(second)), OK);
}

static void test_create_reserved_frames_are_allowed_and_ram_is_not(void **state)
{
    (void)state;
    OWNED(mmio, mmio);
    uint64_t free = frame_allocator_statistics().free;
    assert_int_equal(mmio_create(2 * MIB, PAGE_SIZE, SLOT(mmio)), ERR_PERMISSION);
    assert_int_equal(frame_allocator_statistics().free, free);
    assert_int_equal(mmio_create(FIRMWARE - PAGE_SIZE, 2 * PAGE_SIZE, SLOT(mmio)), ERR_BUSY);
    assert_false(HELD(mmio));
    assert_int_equal(mmio_create(FIRMWARE, 2 * PAGE_SIZE, SLOT(mmio)), OK);
}

static void test_create_nonsense_is_refused(void **state)
{
    (void)state;
    OWNED(mmio, mmio);
    uint64_t pages = page_allocator_statistics(PAGE_ZONE_DATA).free;
    assert_int_equal(mmio_create(DEVICE, 0, SLOT(mmio)), ERR_INVALID_ARGUMENT);
    assert_int_equal(mmio_create(PHYSICAL_LIMIT, 1, SLOT(mmio)), ERR_OUT_OF_BOUNDS);
    assert_int_equal(mmio_create(PHYSICAL_LIMIT - 1, 2, SLOT(mmio)), ERR_OUT_OF_BOUNDS);
    assert_int_equal(mmio_create(DEVICE, UINT64_MAX, SLOT(mmio)), ERR_OUT_OF_BOUNDS);
    refuse_mapping = true;
    assert_int_equal(mmio_create(DEVICE, 1, SLOT(mmio)), ERR_NO_MEMORY);
    refuse_mapping = false;
    assert_int_equal(page_allocator_statistics(PAGE_ZONE_DATA).free, pages);
    assert_int_equal(mmio_create(DEVICE, 1, SLOT(mmio)), OK); /* nobody kept the frame */
}

static void test_access_inside_reads_and_writes(void **state)
{
    (void)state;
    OWNED(mmio, mmio);
    uint32_t word;
    uint64_t wide;
    assert_int_equal(mmio_create(DEVICE + 0x10, 0x20, SLOT(mmio)), OK);
    assert_int_equal(mmio_write32(REF(mmio), 0x4, 0x11223344), OK);
    assert_int_equal(registers[0x14], 0x44); /* offsets count from the start that was asked for */
    assert_int_equal(mmio_read32(REF(mmio), 0x4, &word), OK);
    assert_int_equal(word, 0x11223344);
    assert_int_equal(mmio_read64(REF(mmio), 0x0, &wide), OK);
    assert_int_equal(wide, 0x1122334400000000);
    assert_int_equal(mmio_write64(REF(mmio), 0x18, UINT64_MAX), OK);
    assert_int_equal(registers[0x2f], 0xff);
    assert_int_equal(registers[0x30], 0);
}

static void test_access_outside_or_misaligned_does_not_happen(void **state)
{
    (void)state;
    OWNED(mmio, mmio);
    uint32_t word = 1;
    uint64_t wide = 1;
    assert_int_equal(mmio_create(DEVICE, 0x20, SLOT(mmio)), OK);
    assert_int_equal(mmio_read32(REF(mmio), 0x20, &word), ERR_OUT_OF_BOUNDS);
    assert_int_equal(mmio_read32(REF(mmio), 0x1d, &word), ERR_OUT_OF_BOUNDS);
    assert_int_equal(mmio_read64(REF(mmio), UINT64_MAX - 3, &wide), ERR_OUT_OF_BOUNDS);
    assert_int_equal(mmio_read32(REF(mmio), 0x2, &word), ERR_MISALIGNED);
    assert_int_equal(mmio_read64(REF(mmio), 0x4, &wide), ERR_MISALIGNED);
    assert_int_equal(mmio_write32(REF(mmio), 0x20, 7), ERR_OUT_OF_BOUNDS);
    assert_int_equal(mmio_write64(REF(mmio), 0x4, 7), ERR_MISALIGNED);
    assert_int_equal(word, 1);
    assert_int_equal(wide, 1);
    for (size_t i = 0; i < sizeof(registers); i++) {
        assert_int_equal(registers[i], 0);
    }
}

struct block {
    uint32_t control;
    uint32_t status;
    uint64_t counter;
};

static void test_as_gives_a_block_or_nothing(void **state)
{
    (void)state;
    OWNED(mmio, mmio);
    assert_int_equal(mmio_create(DEVICE, 0x20, SLOT(mmio)), OK);
    volatile struct block *block = MMIO_AS(struct block, REF(mmio), 0x10);
    assert_non_null(block);
    block->counter = 5;
    assert_int_equal(registers[0x18], 5);
    assert_null(MMIO_AS(struct block, REF(mmio), 0x14));
    assert_null(MMIO_AS(struct block, REF(mmio), 0x18));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_create_frames_have_one_owner, start),
        cmocka_unit_test_setup(test_create_reserved_frames_are_allowed_and_ram_is_not, start),
        cmocka_unit_test_setup(test_create_nonsense_is_refused, start),
        cmocka_unit_test_setup(test_access_inside_reads_and_writes, start),
        cmocka_unit_test_setup(test_access_outside_or_misaligned_does_not_happen, start),
        cmocka_unit_test_setup(test_as_gives_a_block_or_nothing, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
