/* SPDX-License-Identifier: MIT */
/*
 * descriptor_pool.h - small blocks for the descriptors of owned memory.
 *
 * Why: who owns frames, pages or a mapping holds a descriptor of it. Descriptors cannot come from the
 * heap, for the heap is built on them. So they come from here: a static supply for the start, and
 * pages that mapped_pages donates when the supply runs low.
 *
 * Rules: one size for all, a cache line. Blocks are not cleared. Memory that was donated stays here.
 * Any CPU, any context, no lock: free_stack.h says what that means for a fault. Figures are exact while
 * nobody else gets or puts.
 */
#pragma once

#include "status.h"

#define DESCRIPTOR_SIZE 64u

/*
 * When fewer are left, mapped_pages donates a page: more than what one operation on frames, pages and
 * page tables can need while it maps that page (16), on four CPUs at the same moment. Where more of them
 * meet, some may be told ERR_NO_MEMORY.
 */
#define DESCRIPTOR_RESERVE 64u

/* A block of DESCRIPTOR_SIZE bytes, aligned to it, or NULL. O(1). */
CELL_API MUST_CHECK void *descriptor_pool_get(void);

/* Takes a block back; NULL is no error. O(1). */
CELL_API void descriptor_pool_put(void *block);

/* Adds `bytes` of page-aligned memory to the supply, for ever. */
CELL_API void descriptor_pool_donate(void *memory, size_t bytes);

CELL_API uint64_t descriptor_pool_available(void);
CELL_API uint64_t descriptor_pool_in_use(void);
