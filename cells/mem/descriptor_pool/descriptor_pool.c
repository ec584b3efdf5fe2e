/* SPDX-License-Identifier: MIT */
#include "descriptor_pool.h"

CELL(library, "1.0.0");

/* UEFI reports up to about 200 ranges of memory; the rest is what the system owns until the first page
 * can be donated. */
#define STATIC_COUNT 512

struct block {
    struct block *next;
    uint8_t rest[DESCRIPTOR_SIZE - sizeof(struct block *)];
};
static_assert(sizeof(struct block) == DESCRIPTOR_SIZE, "a block has no overhead");

static ALIGNED(DESCRIPTOR_SIZE) struct block supply[STATIC_COUNT];
static size_t untouched = STATIC_COUNT; /* of the supply: never handed out so far */
static struct block *free_blocks;
static uint64_t available = STATIC_COUNT;
static uint64_t in_use;

void *descriptor_pool_get(void)
{
    struct block *block = free_blocks;
    if (block) {
        free_blocks = block->next;
    } else if (untouched > 0) {
        block = &supply[--untouched];
    } else {
        return NULL;
    }
    available--;
    in_use++;
    return block;
}

void descriptor_pool_put(void *memory)
{
    struct block *block = memory;
    if (block) {
        block->next = free_blocks;
        free_blocks = block;
        available++;
        in_use--;
    }
}

void descriptor_pool_donate(void *memory, size_t bytes)
{
    struct block *blocks = memory;
    for (size_t i = 0; i < bytes / sizeof(*blocks); i++) {
        blocks[i].next = free_blocks;
        free_blocks = &blocks[i];
        available++;
    }
}

uint64_t descriptor_pool_available(void)
{
    return available;
}

uint64_t descriptor_pool_in_use(void)
{
    return in_use;
}
