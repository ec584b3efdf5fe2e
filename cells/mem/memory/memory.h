/* SPDX-License-Identifier: MIT */
/*
 * memory.h - words and sizes that all memory cells share.
 *
 * Why: a physical and a virtual address must never be taken for one another, and every cell must
 * round to pages in the same way. A *frame* is 4 KiB of physical memory, a *page* is 4 KiB of
 * address space; numbers of both are addresses divided by PAGE_SIZE.
 *
 * Rules: no state. The map of the address space has its one home here.
 */
#pragma once

#include "cell.h"

typedef uint64_t paddr_t;
typedef uint64_t vaddr_t;

#define PAGE_SIZE  4096ull
#define PAGE_SHIFT 12

/* Physical addresses end here (the architecture's limit; page table entries hold no more bits). */
#define PHYSICAL_LIMIT (1ull << 52)

/*
 * The address space.
 *
 *   0000000000000000  nothing once the kernel runs (while it starts: the first 4 GiB, identically)
 *   ffff800000000000  data zone: heap, archive, buffers
 *   fffffe0000000000  page table windows: slot 508 shows one frame, 509 tables being built, 510 the tables
 *   ffffffff80000000  nano_core image, at its physical address + KERNEL_BASE
 *   ffffffff90000000  code zone: loaded cells, in reach of every 32-bit relocation
 */
#define KERNEL_BASE     0xffffffff80000000ull
#define CODE_ZONE_START 0xffffffff90000000ull
#define CODE_ZONE_END   0xffffffffffe00000ull
#define DATA_ZONE_START 0xffff800000000000ull
#define DATA_ZONE_END   0xfffffe0000000000ull

/* What may be done with a page. All pages can be read. Write and execute exclude each other. */
enum page_flags {
    PAGE_READ = 0,
    PAGE_WRITE = 1,
    PAGE_EXECUTE = 2,
    PAGE_UNCACHED = 4, /* device registers */
};
#define PAGE_FLAGS_ALL (PAGE_WRITE | PAGE_EXECUTE | PAGE_UNCACHED)

enum page_zone {
    PAGE_ZONE_CODE,
    PAGE_ZONE_DATA,
};
#define PAGE_ZONE_COUNT 2

/* A run of pages and the contiguous frames that they are mapped to. */
struct page_region {
    vaddr_t start;
    paddr_t frame;
    size_t page_count;
    unsigned flags;
};

static inline uint64_t page_align_down(uint64_t address)
{
    return address & ~(PAGE_SIZE - 1);
}

/* Wraps to 0 within the last page of the address space. */
static inline uint64_t page_align_up(uint64_t address)
{
    return (address + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

static inline bool page_is_aligned(uint64_t address)
{
    return (address & (PAGE_SIZE - 1)) == 0;
}

/* Pages needed to hold `bytes`; cannot overflow. */
static inline size_t page_count_of(size_t bytes)
{
    return bytes / PAGE_SIZE + (bytes % PAGE_SIZE != 0);
}
