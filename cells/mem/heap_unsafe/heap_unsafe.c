/* SPDX-License-Identifier: MIT */
/*
 * A conventional slab heap, as fast as we can make one; it shows what the checks of the others
 * cost.
 *
 * A slab begins with its record, which rounding a block's address down finds. Free blocks hold the
 * pointers of their slab's list. Nothing is checked.
 */
#include "freestanding.h"
#include "heap.h"
#include "heap_slabs.h"
#include "mapped_pages.h"
#include "spinlock.h"

CELL(library, "3.0.0");

/* The address of the next block, in the first word of a free one. */
#define BLOCK_LINK       char *
#define BLOCK_LINK_BYTES 1

struct slab {
    BLOCK_LINK free;
    struct slab_state state;
    struct slab *next;
    struct slab *previous;
    struct mapped_pages *memory; /* this slab, record included */
};
static_assert(sizeof(struct slab) <= SLAB_FIRST, "blocks follow");

#include "heap_slabs_mapped.h"

/* ---- names ---- */

static inline struct slab *slab_of(const void *block)
{
    return front_of(block);
}

static inline char *link_of(const struct slab *slab, const void *block)
{
    (void)slab;
    return (char *)(uintptr_t)block;
}

static inline void *block_at(const struct slab *slab, char *link)
{
    (void)slab;
    return link;
}

static inline char *first_link(const struct slab *slab)
{
    return (char *)(uintptr_t)slab + SLAB_FIRST;
}

static inline char **link_at(struct slab *slab, char *link)
{
    (void)slab;
    return (char **)link;
}

/* ---- records: there is nothing to be done for them ---- */

static inline void mark_taken(struct slab *slab, char *link)
{
    (void)slab;
    (void)link;
}

static inline void mark_allocated(void *block)
{
    (void)block;
}

static inline void *mark_large(struct slab *slab)
{
    return first_link(slab);
}

static bool reserve_record(void)
{
    return true;
}

static struct slab *prepare_record(uintptr_t start)
{
    return (struct slab *)start;
}

static inline void plan_take_record(struct slab *slab, struct commit_list *list)
{
    (void)slab;
    (void)list;
}

static inline void plan_give_record(struct slab *slab, struct commit_list *list)
{
    (void)slab;
    (void)list;
}

static uint64_t metadata_bytes(void)
{
    return 0;
}

bool heap_is_free(uintptr_t address)
{
    (void)address;
    return false;
}

/* ---- freeing ---- */

/* A large block, or one for a magazine that is full. */
NOINLINE static void free_slowly(void **slot)
{
    GUARD(spinlock, guard, &lock);
    GUARD(undo, noted, &changes);
    settle_locked();
    unsigned number = slab_of(*slot)->state.class;
    if (number == HEAP_CLASS_LARGE) {
        free_large(slot);
    } else {
        keep_block(number, slot);
    }
}

NOINLINE static void free_by_value(void *block)
{
    free_slowly(&block);
}

/* What the fast path ends in, with its hold. */
NOINLINE static void free_and_release(void *block)
{
    free_slowly(&block);
    preemption_release();
}

void heap_free(void *block)
{
    if (!block) {
        return;
    }
    unsigned number = slab_of(block)->state.class; /* it stays while a block is allocated */
    if (UNLIKELY(number == HEAP_CLASS_LARGE)) {
        free_by_value(block);
        return;
    }
    preemption_hold();
    if (UNLIKELY(!magazine_push(magazine_of(&magazines, number), block))) {
        free_and_release(block);
        return;
    }
    preemption_release();
}

void heap_free_from(void *slot)
{
    void *block = *(void **)slot;
    if (!block) {
        return;
    }
    unsigned number = slab_of(block)->state.class;
    if (LIKELY(number != HEAP_CLASS_LARGE)) {
        preemption_hold();
        bool is_kept = magazine_push_from(magazine_of(&magazines, number), slot);
        preemption_release();
        if (LIKELY(is_kept)) {
            return;
        }
    }
    free_slowly(slot);
}
