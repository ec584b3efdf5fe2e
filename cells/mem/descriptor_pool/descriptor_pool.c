/* SPDX-License-Identifier: MIT */
/*
 * What was given back is a free_stack. What was never handed out, of the supply, is a number that
 * goes down. A donation is pushed block by block, and `donation` says, with each push, which is
 * next.
 */
#include "descriptor_pool.h"
#include "commit.h"
#include "free_stack.h"

CELL(library, "2.0.0");

/* UEFI reports up to about 200 ranges of memory; the rest is what the system owns until the first page
 * can be donated. */
#define STATIC_COUNT 512

struct block {
    struct free_link link;
    uint64_t second;
    uint64_t count; /* 0 in the pool */
    uint8_t rest[DESCRIPTOR_SIZE - 24];
};
static_assert(sizeof(struct block) == DESCRIPTOR_SIZE, "a block has no overhead");
static_assert(offsetof(struct block, count) == DESCRIPTOR_COUNT_OFFSET, "as it says");

static ALIGNED(DESCRIPTOR_SIZE) struct block supply[STATIC_COUNT];
static uint64_t untouched = STATIC_COUNT; /* of the supply: never handed out so far */
static struct free_stack free_blocks;
static uint64_t total = STATIC_COUNT;

static struct {
    struct block *next; /* not in the pool yet, up to `end` */
    struct block *end;
} donation;

static NOINLINE bool take_untouched(void *out)
{
    uint64_t number;
    while ((number = __atomic_load_n(&untouched, __ATOMIC_RELAXED)) > 0) {
        if (commit_exchange(&untouched, number, number - 1, (uint64_t *)out,
                            (uintptr_t)&supply[number - 1])) {
            return true;
        }
    }
    return false;
}

bool descriptor_pool_take(void *out)
{
    return LIKELY(free_stack_pop_to(&free_blocks, out, 0)) || take_untouched(out);
}

void descriptor_pool_give(void *slot)
{
    struct block *block = *(struct block **)slot;
    if (block) {
        block->count = 0;
        COMPILER_BARRIER();
        free_stack_push_from(&free_blocks, &block->link, slot, NULL);
    }
}

void *descriptor_pool_get(void)
{
    void *block = NULL;
    return descriptor_pool_take(&block) ? block : NULL;
}

void descriptor_pool_put(void *block)
{
    descriptor_pool_give(&block);
}

void descriptor_pool_accept(void)
{
    while (donation.next != donation.end) {
        struct block *block = donation.next;
        block->count = 0;
        COMPILER_BARRIER();
        free_stack_push_from(&free_blocks, &block->link, &donation.next, block + 1);
    }
}

void descriptor_pool_offer(void *memory, size_t bytes, struct commit_list *list)
{
    struct block *blocks = memory;
    size_t count = bytes / sizeof(*blocks);
    descriptor_pool_accept(); /* what an interrupted one has left */
    commit_add(list, &donation.next, blocks);
    commit_add(list, &donation.end, blocks + count);
    commit_add(list, &total, total + count);
}

void descriptor_pool_donate(void *memory, size_t bytes)
{
    struct commit_list list;
    list.count = 0;
    descriptor_pool_offer(memory, bytes, &list);
    commit_list(&list);
    descriptor_pool_accept();
}

uint64_t descriptor_pool_available(void)
{
    return free_stack_count(&free_blocks) + __atomic_load_n(&untouched, __ATOMIC_RELAXED);
}

uint64_t descriptor_pool_in_use(void)
{
    return __atomic_load_n(&total, __ATOMIC_RELAXED) - (uint64_t)(donation.end - donation.next) -
           descriptor_pool_available();
}
