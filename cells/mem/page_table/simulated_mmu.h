/* SPDX-License-Identifier: MIT */
/*
 * simulated_mmu.h - an MMU made of a few frames, for tests on a host.
 *
 * Why: page tables are worth what the CPU makes of them. This one walks the tables as the CPU does,
 * and like a TLB it keeps what it once found, pages and tables, until it is told to forget.
 *
 * Rules: included once in a test, after cmocka.h, page_table_priv.h and x86.h, with
 * SIMULATED_FRAMES defined: how much memory there is. It defines what these two headers leave to a
 * test. What the CPU does by itself is marked MMU_CODE, which may be defined as an attribute.
 */
#pragma once

#ifdef SIMULATED_FRAMES

    #define BOOT_ROOT (1 * PAGE_SIZE)
    #ifndef MMU_CODE
        #define MMU_CODE
    #endif
    #define TLB_SIZE  1024
    #define WALK_SIZE 64

static _Alignas(4096) uint64_t memory[SIMULATED_FRAMES][ENTRY_COUNT]; /* by frame number */
static uint64_t cr3 = BOOT_ROOT;
static size_t invlpg_count;
static size_t cr3_count;

/* What the CPU remembers until it is told to forget: pages of both sizes, and tables of level 1. */
static struct {
    vaddr_t page;
    uint64_t entry; /* 0: nothing here */
} tlb[TLB_SIZE], large_tlb[WALK_SIZE], walks[WALK_SIZE];

MMU_CODE uint64_t read_cr3(void)
{
    return cr3;
}

MMU_CODE void write_cr3(uint64_t value)
{
    cr3 = value;
    cr3_count++;
    memset(tlb, 0, sizeof(tlb));
    memset(large_tlb, 0, sizeof(large_tlb));
    memset(walks, 0, sizeof(walks));
}

MMU_CODE static size_t tlb_index(vaddr_t page)
{
    return (page >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull >> 32 & (TLB_SIZE - 1);
}

MMU_CODE static size_t region_index(vaddr_t page)
{
    return page / LARGE_SIZE * 0x9e3779b97f4a7c15ull >> 32 & (WALK_SIZE - 1);
}

/* One page, of whichever size, and all that is remembered of tables. */
MMU_CODE void invlpg(uint64_t address)
{
    vaddr_t page = page_align_down(address);
    invlpg_count++;
    if (tlb[tlb_index(page)].page == page) {
        tlb[tlb_index(page)].entry = 0;
    }
    if (large_tlb[region_index(page)].page == (page & ~(LARGE_SIZE - 1))) {
        large_tlb[region_index(page)].entry = 0;
    }
    memset(walks, 0, sizeof(walks));
}

MMU_CODE static uint64_t *frame_at(paddr_t frame)
{
    assert_true(frame / PAGE_SIZE < SIMULATED_FRAMES);
    return memory[frame / PAGE_SIZE];
}

/* The entry of level 2 for `page`, through what is remembered, or 0. */
MMU_CODE static uint64_t walk_to_directory(vaddr_t page)
{
    vaddr_t region = page & ~(LARGE_SIZE - 1);
    size_t at = region_index(page);
    if (walks[at].entry && walks[at].page == region) {
        return walks[at].entry;
    }
    uint64_t entry = cr3;
    for (unsigned level = LEVELS; level > 1; level--) {
        entry = frame_at(frame_of(entry))[index_at(level, page)];
        if (!(entry & ENTRY_PRESENT)) {
            return 0;
        }
    }
    /* In the windows an entry of a table is used at another level: they have no large pages. */
    if (index_at(LEVELS, page) != SLOT_SELF && is_large(entry)) {
        return entry;
    }
    walks[at].page = region;
    walks[at].entry = entry;
    return entry;
}

/* What the CPU uses for `page`; 0 is a page fault. */
MMU_CODE static uint64_t translate(vaddr_t page)
{
    vaddr_t region = page & ~(LARGE_SIZE - 1);
    if (tlb[tlb_index(page)].entry && tlb[tlb_index(page)].page == page) {
        return tlb[tlb_index(page)].entry;
    }
    uint64_t large = large_tlb[region_index(page)].entry;
    if (!large || large_tlb[region_index(page)].page != region) {
        uint64_t directory = walk_to_directory(page);
        bool is_window = index_at(LEVELS, page) == SLOT_SELF;
        if (is_window || !is_large(directory)) {
            uint64_t entry = directory ? frame_at(frame_of(directory))[index_at(1, page)] : 0;
            if (!(entry & ENTRY_PRESENT)) {
                return 0;
            }
            tlb[tlb_index(page)].page = page;
            tlb[tlb_index(page)].entry = entry;
            return entry;
        }
        assert_int_equal(frame_of(directory) & (LARGE_SIZE - 1),
                         0); /* else reserved bits are set */
        large_tlb[region_index(page)].page = region;
        large_tlb[region_index(page)].entry = directory;
        large = directory;
    }
    return (large & ~ENTRY_LARGE) + index_at(1, page) * PAGE_SIZE;
}

MMU_CODE void *window_at(vaddr_t address)
{
    uint64_t entry = translate(page_align_down(address));
    assert_true(entry & ENTRY_WRITABLE);
    return (char *)frame_at(frame_of(entry)) + address % PAGE_SIZE;
}

/* As boot.S leaves it: a root with itself in SLOT_SELF and something else in slot 0. */
static int start_machine(void **state)
{
    (void)state;
    memory[1][SLOT_SELF] = BOOT_ROOT | ENTRY_TABLE;
    memory[1][0] = BOOT_ROOT | ENTRY_TABLE;
    return 0;
}

#endif
