/* SPDX-License-Identifier: MIT */
#include "strike_heap.h"
#include "commit.h"
#include "heap.h"
#include "strike.h"

static struct {
    ALIGNED(16) uint8_t bytes[STRIKE_BLOCK_SIZE];
} blocks[STRIKE_BLOCKS];
static uint64_t is_used[STRIKE_BLOCKS];
static bool refuses;

bool heap_block_take(size_t bytes, void *out)
{
    for (unsigned i = 0; i < STRIKE_BLOCKS && !refuses; i++) {
        if (!is_used[i]) {
            strike_demand(bytes <= STRIKE_BLOCK_SIZE);
            __builtin_memset(blocks[i].bytes, 0xa5, STRIKE_BLOCK_SIZE);
            commit_two(&is_used[i], 1, (void **)out, (uintptr_t)blocks[i].bytes);
            return true;
        }
    }
    strike_demand(refuses); /* STRIKE_BLOCKS is too small */
    return false;
}

bool heap_block_take_zeroed(size_t bytes, void *out)
{
    for (unsigned i = 0; i < STRIKE_BLOCKS && !refuses; i++) {
        if (!is_used[i]) {
            strike_demand(bytes <= STRIKE_BLOCK_SIZE);
            __builtin_memset(blocks[i].bytes, 0, STRIKE_BLOCK_SIZE);
            commit_two(&is_used[i], 1, (void **)out, (uintptr_t)blocks[i].bytes);
            return true;
        }
    }
    strike_demand(refuses);
    return false;
}

void heap_block_give(void *slot)
{
    void *block = *(void **)slot;
    if (!block) {
        return;
    }
    for (unsigned i = 0; i < STRIKE_BLOCKS; i++) {
        if (block == blocks[i].bytes) {
            strike_demand(is_used[i]);
            __builtin_memset(block, 0x5a, STRIKE_BLOCK_SIZE);
            commit_two(&is_used[i], 0, (void **)slot, 0);
            return;
        }
    }
    strike_demand(!"a block of this heap");
}

bool heap_allocate_to(size_t bytes, void *out)
{
    return heap_block_take(bytes, out);
}

void heap_free_from(void *slot)
{
    heap_block_give(slot);
}

void heap_block_drop(struct heap_block **handle)
{
    heap_block_give(handle);
}

void heap_block_give_thing(void *handle)
{
    OWNED(heap_block, block);
    commit_two((void **)handle, NULL, SLOT(block), *(void **)handle);
}

unsigned strike_heap_used(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < STRIKE_BLOCKS; i++) {
        count += is_used[i] != 0;
    }
    return count;
}

void strike_heap_refuse(bool refuse)
{
    refuses = refuse;
}
