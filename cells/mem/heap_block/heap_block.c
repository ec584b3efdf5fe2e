/* SPDX-License-Identifier: MIT */
#include "heap_block.h"

#include "commit.h"
#include "heap.h"

CELL(library, "1.1.0");

#if __STDC_HOSTED__
/* Tests that stand in for the heap have its functions by value only. */
__attribute__((weak)) bool heap_allocate_to(size_t bytes, void *out)
{
    void *block = heap_allocate(bytes);
    *(void **)out = block;
    return block != NULL;
}

__attribute__((weak)) void heap_free_from(void *slot)
{
    void *block = *(void **)slot;
    *(void **)slot = NULL;
    heap_free(block);
}
#endif

bool heap_block_take(size_t bytes, void *out)
{
    return heap_allocate_to(bytes, out);
}

/* It is cleared before it gets there. */
OWN_UNCHECKED bool heap_block_take_zeroed(size_t bytes, void *out)
{
    OWNED(heap_block, block);
    if (!heap_block_take(bytes, SLOT(block))) {
        return false;
    }
    __builtin_memset(REF(block), 0, bytes);
    commit_two((void **)out, REF(block), SLOT(block), NULL);
    return true;
}

void heap_block_give(void *slot)
{
    heap_free_from(slot);
}

void heap_block_drop(struct heap_block **handle) OWN_UNCHECKED
{
    heap_block_give(handle);
}

void heap_block_give_thing(void *handle) OWN_UNCHECKED
{
    OWNED(heap_block, block);
    commit_two((void **)handle, NULL, SLOT(block), *(void **)handle);
}
