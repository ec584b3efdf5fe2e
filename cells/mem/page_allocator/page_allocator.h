/* SPDX-License-Identifier: MIT */
/*
 * page_allocator.h - who owns which page of the address space.
 *
 * Why: every mapping needs pages that nobody else uses. Free pages are kept here; who owns pages
 * holds a `struct pages`, one contiguous range, and this cell keeps no table of it. There are two
 * zones: code must lie in the top 2 GiB, in reach of 32-bit relocations; everything else has room
 * below.
 *
 * Rules: pages are addresses only, nothing is mapped here. O(log n) in the number of free ranges;
 * no heap is needed. memory.h has the bounds of the zones. Any CPU, also with preemption held; not
 * in interrupt handlers. Single pages of the data zone that come back and go out again take no
 * lock. After a fault or a kill at any instruction each page is free or in the variable of its
 * owner (docs/fault-safety.md).
 */
#pragma once

#include "memory.h"
#include "pages.h"

struct page_statistics {
    uint64_t total;
    uint64_t free;
    uint64_t ranges;    /* that the free ones form, each with a descriptor */
    uint64_t bad_drops; /* pages that came back although they were free: a bug */
};

/* All pages of both zones are free afterwards. ERR_NO_MEMORY without descriptors. */
CELL_API MUST_CHECK enum status page_allocator_init(void);

/*
 * Takes the lowest `count` consecutive pages whose first page number is a multiple of `alignment`,
 * a power of two; a single one of the data zone may also be one that came back lately, or lie in a
 * longer free range than the lowest.
 * ERR_NO_ADDRESS_SPACE, ERR_NO_MEMORY (no descriptor), ERR_INVALID_ARGUMENT.
 */
CELL_API enum status page_allocator_take(enum page_zone zone, uint64_t count, uint64_t alignment,
                                         struct pages **out) OWN_ACQUIRES(**out);

/* Takes exactly these pages. ERR_BUSY when one has an owner, ERR_MISALIGNED, ERR_OUT_OF_BOUNDS. */
CELL_API enum status page_allocator_take_at(vaddr_t start, uint64_t count, struct pages **out)
    OWN_ACQUIRES(**out);

/* As frame_allocator_settle(), for all zones. */
CELL_API void page_allocator_settle(void);

CELL_API struct page_statistics page_allocator_statistics(enum page_zone zone);
