/* SPDX-License-Identifier: MIT */
/*
 * What was given back is a free_stack. What was never handed out, of the supply, is a number that goes
 * down.
 */
#include "descriptor_pool.h"
#include "free_stack.h"

CELL(library, "1.1.0");

/* UEFI reports up to about 200 ranges of memory; the rest is what the system owns until the first page
 * can be donated. */
#define STATIC_COUNT 512

struct block {
    struct free_link link;
    uint8_t rest[DESCRIPTOR_SIZE - sizeof(struct free_link)];
};
static_assert(sizeof(struct block) == DESCRIPTOR_SIZE, "a block has no overhead");

static ALIGNED(DESCRIPTOR_SIZE) struct block supply[STATIC_COUNT];
static uint64_t untouched = STATIC_COUNT; /* of the supply: never handed out so far */
static struct free_stack free_blocks;
static uint64_t total = STATIC_COUNT;

static NOINLINE void *get_untouched(void)
{
    uint64_t number = __atomic_load_n(&untouched, __ATOMIC_RELAXED);
    while (number > 0) {
        if (__atomic_compare_exchange_n(&untouched, &number, number - 1, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            return &supply[number - 1];
        }
    }
    return NULL;
}

void *descriptor_pool_get(void)
{
    struct free_link *link = free_stack_pop(&free_blocks);
    return LIKELY(link) ? link : get_untouched();
}

void descriptor_pool_put(void *memory)
{
    if (memory) {
        free_stack_push(&free_blocks, memory);
    }
}

void descriptor_pool_donate(void *memory, size_t bytes)
{
    struct block *blocks = memory;
    size_t count = bytes / sizeof(*blocks);
    __atomic_fetch_add(&total, count, __ATOMIC_RELAXED); /* first: fewer are free than there are */
    for (size_t i = 0; i < count; i++) {
        free_stack_push(&free_blocks, &blocks[i].link);
    }
}

uint64_t descriptor_pool_available(void)
{
    return free_stack_count(&free_blocks) + __atomic_load_n(&untouched, __ATOMIC_RELAXED);
}

uint64_t descriptor_pool_in_use(void)
{
    return __atomic_load_n(&total, __ATOMIC_RELAXED) - descriptor_pool_available();
}
