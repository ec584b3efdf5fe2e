/* SPDX-License-Identifier: MIT */
/*
 * heap.h - memory in any size.
 *
 * Why: most things are smaller than a page, and a few are much larger.
 *
 * Rules: blocks are aligned to HEAP_ALIGNMENT, are not cleared, and belong to the caller until they
 * are freed. Freeing what is not an allocated block is a programmer's error: it is logged, counted
 * and otherwise ignored where the heap can tell, and a page fault where the page is gone. Not in
 * exceptions. One CPU with interrupts off, for now: no lock.
 */
#pragma once

#include "status.h"

#define HEAP_ALIGNMENT 16

struct heap_statistics {
    uint64_t blocks_in_use;
    uint64_t bytes_in_use; /* of blocks, as rounded up by the heap */
    uint64_t bytes_mapped; /* taken from the system for that */
    uint64_t allocations;  /* since boot */
    uint64_t failures;     /* of these, answered with NULL */
    uint64_t bad_frees;
};

/* At least `bytes` (0 counts as 1), or NULL when there is no memory. */
MUST_CHECK CELL_API void *heap_allocate(size_t bytes);

/* NULL is no error. */
CELL_API void heap_free(void *block);

CELL_API struct heap_statistics heap_statistics(void);
