/* SPDX-License-Identifier: MIT */
/*
 * simulated_machine.h - a machine for tests: all of memory management but the CPU is real.
 *
 * Why: what mappings are worth is what the CPU makes of them: each page is looked up as it would.
 *
 * Rules: included once in a program, after <string.h> and the assertions of cmocka (or
 * fuzz_assert.h), with SIMULATED_FRAMES defined, how much memory the machine has, and
 * SIMULATED_DESCRIPTORS, how many there are beyond the pool's own. There is one machine a program.
 */
#pragma once

#include "descriptor_pool.h"
#include "frame_allocator.h"
#include "mapped_pages.h"
#include "mapped_pages_priv.h"
#include "page_table.h"
#include "page_table_priv.h"
#include "x86.h"

#ifdef SIMULATED_FRAMES

    #include "boot_info.h"
    #include "simulated_mmu.h"

    #define MIB        0x100000ull
    #define LOW_FRAMES (MIB / PAGE_SIZE) /* reserved: their contents are somebody's */
    #ifndef IMAGE_FRAMES
        #define IMAGE_FRAMES LOW_FRAMES
    #endif
    #define RAM_FRAMES (SIMULATED_FRAMES - LOW_FRAMES - IMAGE_FRAMES)
    #define TEXT       (KERNEL_BASE + MIB)
    #define STALE      0xa5

void *memory_at(vaddr_t page)
{
    return window_at(page);
}

static ALIGNED(4096) uint8_t first_descriptors[SIMULATED_DESCRIPTORS * DESCRIPTOR_SIZE];

/* The allocators and page tables, up and running; 0 if they are. */
static int start_simulated_machine(void)
{
    static struct boot_info boot = {.memory_count = 1};
    boot.memory[0] = (struct boot_memory){
        .start = 0,
        .bytes = SIMULATED_FRAMES * PAGE_SIZE,
        .kind = BOOT_MEMORY_USABLE,
    };
    const struct page_region image = {.start = TEXT, .frame = MIB, .page_count = IMAGE_FRAMES};
    memset(memory, STALE, sizeof(memory));
    memset(memory[1], 0, PAGE_SIZE);
    start_machine(NULL);
    descriptor_pool_donate(first_descriptors, sizeof(first_descriptors));
    bool is_up = frame_allocator_init(&boot, MIB, IMAGE_FRAMES * PAGE_SIZE) == OK &&
                 page_table_init(&image, 1) == OK && page_allocator_init() == OK;
    return is_up && frame_allocator_statistics().total == RAM_FRAMES ? 0 : -1;
}

/* ---- what there is ---- */

struct holdings {
    uint64_t frames; /* free, or of page tables */
    uint64_t pages;
    uint64_t descriptors; /* in use, but for ranges of what is free and for tables */
    uint64_t tables;
};

/* Looking for what has an owner moves single frames and pages back to their ranges. */
static inline void settle(void)
{
    struct frames *frames = NULL;
    struct pages *pages = NULL;
    assert_int_equal(frame_allocator_take_at(MIB, 1, &frames), ERR_BUSY); /* the image */
    assert_int_equal(page_allocator_take_at(DATA_ZONE_END - 2 * PAGE_SIZE, 2, &pages), OK);
    pages_drop(&pages);
    assert_int_equal(page_allocator_take_at(CODE_ZONE_END - 2 * PAGE_SIZE, 2, &pages), OK);
    pages_drop(&pages);
}

static inline struct holdings measure(void)
{
    settle();
    struct frame_statistics frames = frame_allocator_statistics();
    struct page_statistics code = page_allocator_statistics(PAGE_ZONE_CODE);
    struct page_statistics data = page_allocator_statistics(PAGE_ZONE_DATA);
    struct page_table_statistics tables = page_table_statistics();
    uint64_t table_frames = tables.tables + tables.spares;
    assert_int_equal(frames.bad_drops + code.bad_drops + data.bad_drops, 0);
    return (struct holdings){
        .frames = frames.free + table_frames,
        .pages = code.free + data.free,
        .descriptors =
            descriptor_pool_in_use() - frames.ranges - code.ranges - data.ranges - table_frames,
        .tables = tables.tables,
    };
}

static inline void assert_same(struct holdings before)
{
    struct holdings now = measure();
    assert_int_equal(now.frames, before.frames);
    assert_int_equal(now.pages, before.pages);
    assert_int_equal(now.descriptors, before.descriptors);
    assert_int_equal(now.tables, before.tables);
}

static inline uint64_t *words_of(vaddr_t page)
{
    uint64_t entry = translate(page);
    assert_true(entry & ENTRY_PRESENT);
    return frame_at(frame_of(entry));
}

static inline void assert_not_mapped(vaddr_t page, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        assert_int_equal(translate(page + i * PAGE_SIZE), 0);
    }
}

/* Is each page mapped to the handle's frames, in order, with these flags? */
static inline void assert_mapping(const struct mapped_pages *mapped, unsigned flags)
{
    vaddr_t page = mapped_pages_start(mapped);
    const struct frames *cursor = NULL;
    paddr_t frame;
    uint64_t count;
    uint64_t total = 0;
    while (frames_next_range(mapped_pages_frames(mapped), &cursor, &frame, &count)) {
        for (uint64_t i = 0; i < count; i++, page += PAGE_SIZE) {
            uint64_t entry = translate(page);
            if (!(entry & ENTRY_PRESENT) || frame_of(entry) != frame + i * PAGE_SIZE ||
                flags_of(entry) != flags) {
                fail_msg("page %lx", (unsigned long)page);
            }
        }
        total += count;
    }
    assert_int_equal(total, mapped_pages_count(mapped));
    assert_int_equal(mapped_pages_flags(mapped), flags);
}

static inline void assert_zero(const struct mapped_pages *mapped)
{
    static const uint64_t zeros[ENTRY_COUNT];
    for (uint64_t i = 0; i < mapped_pages_count(mapped); i++) {
        assert_memory_equal(words_of(mapped_pages_start(mapped) + i * PAGE_SIZE), zeros, PAGE_SIZE);
    }
}

/* ---- memory that runs out ---- */

/* Leaves so many descriptors, and so many frames beside the spare tables, for as long as it is
 * held. */
struct famine {
    void *blocks; /* linked by their first words */
    struct frames *frames;
};

static inline void begin_famine(struct famine *famine, uint64_t descriptors, uint64_t frames)
{
    *famine = (struct famine){0};
    uint64_t free = frame_allocator_statistics().free;
    if (free > frames) {
        assert_int_equal(frame_allocator_take_any(free - frames, &famine->frames), OK);
    }
    while (descriptor_pool_available() > descriptors) {
        void **block = descriptor_pool_get();
        *block = famine->blocks;
        famine->blocks = block;
    }
}

static inline void end_famine(struct famine *famine)
{
    while (famine->blocks) {
        void **block = famine->blocks;
        famine->blocks = *block;
        descriptor_pool_put(block);
    }
    frames_drop(&famine->frames);
}

#endif
