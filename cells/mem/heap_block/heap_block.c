/* SPDX-License-Identifier: MIT */
#include "heap_block.h"

#include "commit.h"
#include "heap.h"

CELL(library, "1.0.0");

static bool put(void *block, void *out)
{
    if (!block) {
        return false;
    }
    COMPILER_BARRIER();
    *(void **)out = block;
    COMPILER_BARRIER();
    return true;
}

bool heap_take(size_t bytes, void *out)
{
    return put(heap_allocate(bytes), out);
}

bool heap_take_zeroed(size_t bytes, void *out)
{
    return put(heap_allocate_zeroed(bytes), out);
}

void heap_give(void *slot)
{
    void *block = *(void **)slot;
    COMPILER_BARRIER();
    *(void **)slot = NULL;
    COMPILER_BARRIER();
    heap_free(block);
}

void heap_block_drop(struct heap_block **handle) OWN_UNCHECKED
{
    heap_give(handle);
}

void heap_give_thing(void *handle) OWN_UNCHECKED
{
    OWNED(heap_block, block);
    commit_two((void **)handle, NULL, SLOT(block), *(void **)handle);
}
