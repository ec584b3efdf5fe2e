/* SPDX-License-Identifier: MIT */
/*
 * page_allocator.h - which pages of the address space are free.
 *
 * Why: every mapping needs pages that nobody else uses. There are two zones: code must lie in the
 * top 2 GiB, in reach of 32-bit relocations; everything else has room below.
 *
 * Rules: pages are addresses only, nothing is mapped here. One CPU with interrupts off, for now: no
 * lock. memory.h has the bounds of the zones.
 */
#pragma once

#include "memory.h"
#include "status.h"

/* Ranges of free pages in one zone: room for fragmentation. */
#define PAGE_ALLOCATOR_RANGES 1024

struct page_statistics {
    uint64_t total;
    uint64_t free;
    size_t ranges;
    uint64_t lost; /* given back, but there was no room to remember them */
};

/* All pages of both zones are free afterwards. */
MUST_CHECK CELL_API enum status page_allocator_init(void);

/* Takes `count` consecutive pages, the lowest there are. ERR_NO_ADDRESS_SPACE when there are none.
 */
MUST_CHECK CELL_API enum status page_allocator_take(enum page_zone zone, size_t count,
                                                    vaddr_t *out_start);

/*
 * Gives back pages that were taken, in any grouping. ERR_EXISTS when one of them is free already,
 * ERR_OUT_OF_BOUNDS when it is not in that zone; nothing changes then. Pages for which there is no
 * room are lost, counted, and reported with ERR_LIMIT.
 */
MUST_CHECK CELL_API enum status page_allocator_give_back(enum page_zone zone, vaddr_t start,
                                                         size_t count);

CELL_API struct page_statistics page_allocator_statistics(enum page_zone zone);
