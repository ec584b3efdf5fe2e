/* SPDX-License-Identifier: MIT */
/*
 * heap_block.h - blocks of the heap as owned things.
 *
 * Why: an address that is returned by value is nobody's until it is stored, and a fault in between
 * loses the block. Here a block goes from the heap into a variable of its owner, and back from
 * there.
 *
 * Rules: those of heap.h. `out` and `slot` point to a pointer of any type: a slot of raw memory, as
 * long as the block is being made into something; a field; or the slot of the handle itself, where
 * zeros are a thing that its drop accepts. What a drop has left of a thing is given back by
 * heap_block_give_thing(handle), its last step: from the handle into a slot of raw memory, and from
 * there. So a drop that begins again does not look into what is the heap's already.
 *
 *      OWNED(heap_block, block);
 *      if (!heap_block_take(sizeof(struct window), SLOT(block))) { return ERR_NO_MEMORY; }
 *      struct window *window = heap_block_of(*SLOT(block));
 *      ... make it ...
 *      commit_two(out, window, SLOT(block), NULL);        from here on it is a window
 */
#pragma once

#include "own.h"

struct OWN_CAPABILITY("block of the heap") heap_block;
OWN_DECLARE(heap_block);

/*
 * A block of at least `bytes`, cleared in the second; false, and nothing is stored: there is no
 * memory.
 */
CELL_API MUST_CHECK bool heap_block_take(size_t bytes, void *out);
CELL_API MUST_CHECK bool heap_block_take_zeroed(size_t bytes, void *out);

/* Back to the heap, unless it is NULL; it is NULL then. */
CELL_API void heap_block_give(void *slot);
CELL_API void heap_block_give_thing(void *handle);

static inline void *heap_block_of(struct heap_block *block)
{
    return block;
}
