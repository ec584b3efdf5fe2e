/* SPDX-License-Identifier: MIT */
/*
 * heap_slabs_mapped.h - slabs, and large blocks, each in a mapping of its own that its record owns.
 *
 * Why: heap_unsafe and heap_partial differ in where the record is, not in what becomes of the
 * memory.
 *
 * Rules: included once by a heap, in place of heap_slabs_life.h, which says more, after BLOCK_LINK
 * and `struct slab`, whose links are pointers and which also has the field
 *
 *      struct mapped_pages *memory;    what begins with the slab
 *
 * Its policy is that of heap_slabs_life.h without what is here, and what is declared below. A large
 * block is the only one of a slab of the class HEAP_CLASS_LARGE.
 */
#pragma once

#include "commit.h"

#ifdef BLOCK_LINK
    #define SLAB_LINK struct slab *
#endif

#include "heap_slabs_life.h"

#ifdef BLOCK_LINK

/* ---- the policy ---- */

/* Sees to it that there is a record for one more slab. */
static bool reserve_record(void);

/* Prepares it for a slab that begins here. */
static struct slab *prepare_record(uintptr_t start);

/* It is used from here on, or no longer, when `list` is committed. */
static inline void plan_take_record(struct slab *slab, struct commit_list *list);
static inline void plan_give_record(struct slab *slab, struct commit_list *list);

/* The slab's first block, which is marked as a large one. */
static inline void *mark_large(struct slab *slab);

/* ---- names ---- */

static inline struct slab *slab_named(struct slab *name)
{
    return name;
}

static inline struct slab *name_of(const struct slab *slab)
{
    return (struct slab *)(uintptr_t)slab;
}

/* What begins with the slab in which a block is. */
static inline void *front_of(const void *block)
{
    return (void *)((uintptr_t)block & ~(uintptr_t)(SLAB_SIZE - 1));
}

/* ---- memory ---- */

/* Fresh memory that begins at a multiple of SLAB_SIZE. */
static enum status map_aligned(size_t bytes, struct mapped_pages **out) OWN_ACQUIRES(**out);

static enum status map_aligned(size_t bytes, struct mapped_pages **out)
{
    OWNED(frames, frames);
    enum status status = heap_take_frames(page_count_of(bytes), SLOT(frames));
    if (status != OK) {
        return status;
    }
    OWNED(pages, pages);
    status = page_allocator_take(PAGE_ZONE_DATA, page_count_of(bytes), SLAB_PAGES, SLOT(pages));
    if (status != OK) {
        return status;
    }
    return mapped_pages_map(SLOT(pages), SLOT(frames), PAGE_WRITE, out);
}

static uint64_t moving_bytes(void)
{
    return mapped_pages_count(STORED(moving)) * PAGE_SIZE;
}

/* Maps memory for a slab, and prepares the record that it will have; NULL: there is none. */
static struct slab *map_slab(size_t bytes)
{
    return reserve_record() && map_aligned(bytes, &moving) == OK
               ? prepare_record(mapped_pages_start(STORED(moving)))
               : NULL;
}

/* The prepared slab is one. */
static void add_slab(struct slab *slab, struct commit_list *list)
{
    plan_take_record(slab, list);
    commit_add(list, &slab->memory, moving);
    commit_add(list, &moving, NULL);
    commit_add(list, &statistics.bytes_mapped, statistics.bytes_mapped + moving_bytes());
}

/* And is none any more: its memory is moving. */
static void remove_slab(struct slab *slab, struct commit_list *list)
{
    uint64_t bytes = mapped_pages_count(STORED(slab->memory)) * PAGE_SIZE;
    plan_give_record(slab, list);
    commit_add(list, &moving, slab->memory);
    commit_add(list, &slab->memory, NULL);
    commit_add(list, &statistics.bytes_mapped, statistics.bytes_mapped - bytes);
}

static bool make_spare(void)
{
    struct slab *slab = map_slab(SLAB_SIZE);
    if (!slab) {
        return false;
    }
    struct commit_list list;
    list.count = 0;
    add_slab(slab, &list);
    commit_add(&list, &slab->next, spares);
    commit_add(&list, &spares, slab);
    commit_add(&list, &spare_count, spare_count + 1);
    commit_list(&list);
    return true;
}

static void drop_spare(void)
{
    struct slab *slab = spares;
    struct commit_list list;
    list.count = 0;
    commit_add(&list, &spares, slab->next);
    commit_add(&list, &spare_count, spare_count - 1);
    remove_slab(slab, &list);
    commit_list(&list);
    mapped_pages_drop(&moving);
}

static inline void settle_memory(void)
{
    if (UNLIKELY(moving != NULL)) {
        mapped_pages_drop(&moving);
    }
}

/* ---- large blocks ---- */

static uint64_t size_of_large(struct slab *slab)
{
    return mapped_pages_count(STORED(slab->memory)) * PAGE_SIZE - SLAB_FIRST;
}

static bool allocate_large(size_t bytes, void **out)
{
    struct slab *slab = bytes > SIZE_MAX - SLAB_FIRST ? NULL : map_slab(bytes + SLAB_FIRST);
    if (!slab) {
        return false;
    }
    slab->state.class = HEAP_CLASS_LARGE;
    struct commit_list list;
    list.count = 0;
    add_slab(slab, &list);
    commit_add(&list, &statistics.blocks_in_use, statistics.blocks_in_use + 1);
    commit_add(&list, &statistics.bytes_in_use,
               statistics.bytes_in_use + moving_bytes() - SLAB_FIRST);
    commit_add(&list, out, mark_large(slab));
    commit_list(&list);
    return true;
}

/* One that has been claimed, or that nobody else frees. */
static void free_large(void **slot)
{
    struct slab *slab = slab_of(*slot);
    struct commit_list list;
    list.count = 0;
    commit_add(&list, &statistics.blocks_in_use, statistics.blocks_in_use - 1);
    commit_add(&list, &statistics.bytes_in_use, statistics.bytes_in_use - size_of_large(slab));
    commit_add(&list, slot, NULL);
    remove_slab(slab, &list);
    commit_list(&list);
    mapped_pages_drop(&moving);
}

#endif
