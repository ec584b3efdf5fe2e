/* SPDX-License-Identifier: MIT */
/*
 * heap.h - memory in any size.
 *
 * Why: most things are smaller than a page, and a few are much larger. How far a heap guards itself
 * against its users is a choice with a price, so this is an interface with four implementations:
 *
 *                                  heap_unsafe   heap_partial  heap_safe     heap_guarded
 *   where its records are          in the blocks outside       outside       outside
 *   write to a freed block         corrupts it   harmless      harmless      faults
 *   freed twice                    corrupts it   counted       counted       counted
 *   freed inside of a block        corrupts it   counted (1)   counted       counted
 *   freed what it never gave       corrupts it   may fault     counted       counted
 *   write behind or before it      silent        silent        silent        faults, or counted
 *   read of a freed block          silent        silent        silent        reads poison
 *
 * (1) The first 8 bytes count as the block's start; large blocks that were freed may fault.
 *
 * "Counted" is in bad_frees (or damaged), is logged with the address of the caller, and changes
 * nothing else. A block that was freed and handed out again is a new block: freeing it by an old
 * pointer is seen by heap_guarded only, as long as the block is in quarantine. The build takes one
 * of them: docs/decisions/0012-heap.md.
 *
 * Rules: blocks are aligned to HEAP_ALIGNMENT, are not cleared, and belong to the caller until they
 * are freed. Who gets NULL has lost nothing. Memory without blocks goes back to the system, but for
 * a few slabs; each CPU keeps up to 14 free blocks of each size at hand. Any CPU, also with
 * preemption held; not in exceptions and interrupt handlers, nor with interrupts off
 * (page_table.h). A fault or a kill inside of one of these functions leaves the heap whole, and
 * each block free or where its address is to be stored (docs/fault-safety.md); of the functions
 * that return or take a block by value it loses the block that was on its way.
 */
#pragma once

#include "status.h"

#define HEAP_ALIGNMENT 16

struct heap_statistics {
    uint64_t blocks_in_use;
    uint64_t bytes_in_use;   /* of blocks, as rounded up by the heap */
    uint64_t bytes_mapped;   /* taken from the system for that */
    uint64_t bytes_metadata; /* taken to describe it, and kept */
    uint64_t allocations;    /* since boot */
    uint64_t failures;       /* of these, answered with NULL */
    uint64_t bad_frees;      /* of what is not an allocated block */
    uint64_t damaged;        /* blocks with writes around them, or after they were freed */
};

/* At least `bytes` (0 counts as 1), or NULL when there is no memory. */
MUST_CHECK CELL_API void *heap_allocate(size_t bytes);

/* The same, cleared. */
MUST_CHECK CELL_API void *heap_allocate_zeroed(size_t bytes);

/* NULL is no error. */
CELL_API void heap_free(void *block);

/*
 * The same, into and out of a variable, a pointer of any type, in one step; heap_block.h is what
 * they are for. *out is NULL before, and stays so without memory: then false. *slot is NULL
 * afterwards.
 */
MUST_CHECK CELL_API bool heap_allocate_to(size_t bytes, void *out);
CELL_API void heap_free_from(void *slot);

/*
 * This CPU gives back what it keeps at hand first, so the figures are exact where no other CPU uses
 * the heap meanwhile.
 */
CELL_API struct heap_statistics heap_statistics(void);

/*
 * For who looks for pointers in all memory: does the address lie in the heap, and certainly in no
 * block that is allocated? heap_partial knows, the others say no. Any context; may be wrong if it
 * changes meanwhile.
 */
CELL_API bool heap_is_free(uintptr_t address);

/*
 * Looks at every block, now, and returns how many are damaged that were not known to be; only
 * heap_guarded can see that, the others return 0.
 */
CELL_API uint64_t heap_check(void);
