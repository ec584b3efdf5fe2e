/* SPDX-License-Identifier: MIT */
/*
 * A slab heap whose records are out of reach: each slab has one outside, which owns the slab's
 * mapping and lists its free blocks. The slab itself begins with a raw pointer to the record, found
 * by rounding a block's address down, and believed.
 *
 * The list of free blocks is an array of 16-bit links, one for each granule of the slab. A link is
 * the number of the granule where the next free block starts, doubled: its place in the array; 0 is
 * the end. Where an allocated block starts the high byte of the link is ALLOCATED, which is more
 * than that of any other link; in a magazine it is less; the others are stale. So writing to a
 * freed block changes nothing here, and freeing twice, or from a multiple of 8 inside of a block,
 * is seen: such a multiple, where it is none of 16, leads to the low byte of a link, which is even.
 *
 * Records come from chunks of 7, the first of which only holds the chunk's own mapping; chunks
 * stay.
 */
#include "freestanding.h"
#include "heap.h"
#include "heap_slabs.h"
#include "logger.h"
#include "mapped_pages.h"
#include "spinlock.h"

CELL(library, "3.0.0");

#define ALLOCATED       0xffu /* atomic: of two who free a block at once, one is told */
#define ALLOCATED_LARGE 0xfdu /* has pages of its own */

typedef uint16_t __attribute__((may_alias)) link_t;

#define BLOCK_LINK       link_t
#define BLOCK_LINK_BYTES 8

/* The record of a slab. */
struct slab {
    BLOCK_LINK free;
    struct slab_state state;
    uintptr_t start; /* of the slab; a block is at 8 times its link from there */
    struct slab *next;
    struct slab *previous;
    struct mapped_pages *memory;      /* owned */
    uint8_t links[2 * SLAB_GRANULES]; /* little-endian */
};

/* What a slab begins with. */
struct front {
    struct slab *slab;
};
static_assert(sizeof(struct front) <= SLAB_FIRST, "blocks follow");

#define CHUNK_SIZE    16384u
#define CHUNK_RECORDS (CHUNK_SIZE / sizeof(struct slab))

#include "heap_slabs_mapped.h"

static struct slab *records; /* without a slab, through next */
static struct slab *chunks;  /* the first records of all chunks, through next */

/* ---- names ---- */

static inline struct slab *slab_of(const void *block)
{
    return ((const struct front *)front_of(block))->slab;
}

static inline link_t link_of(const struct slab *slab, const void *block)
{
    (void)slab;
    return (link_t)((uintptr_t)block % SLAB_SIZE / 8);
}

static inline void *block_at(const struct slab *slab, link_t link)
{
    return (void *)(slab->start + 8 * (uintptr_t)link);
}

static inline link_t first_link(const struct slab *slab)
{
    (void)slab;
    return SLAB_FIRST / BLOCK_LINK_BYTES;
}

static inline link_t *link_at(struct slab *slab, link_t link)
{
    return (link_t *)&slab->links[link];
}

/* ---- marks ---- */

static inline uint8_t *mark_of(struct slab *slab, void *block)
{
    return &slab->links[(uintptr_t)block % SLAB_SIZE / 8 + 1];
}

static inline void set_mark(void *block, uint8_t mark)
{
    __atomic_store_n(mark_of(slab_of(block), block), mark, __ATOMIC_RELEASE);
}

/* False for what is not an allocated block of this kind. From here on nobody else frees it. */
static inline bool claim(struct slab *slab, void *block, uint8_t kind)
{
    uint8_t expected = kind;
    return __atomic_compare_exchange_n(mark_of(slab, block), &expected, 0, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static inline void mark_taken(struct slab *slab, link_t link)
{
    UNDO_SET(&changes, *link_at(slab, link), (link_t)(ALLOCATED << 8));
}

static inline void mark_allocated(void *block)
{
    set_mark(block, ALLOCATED);
}

static inline void *mark_large(struct slab *slab)
{
    slab->links[SLAB_FIRST / 8 + 1] = ALLOCATED_LARGE;
    return (void *)(slab->start + SLAB_FIRST);
}

/* ---- records ---- */

/* Unchecked: fields that the lock protects own what is on its way. */
OWN_UNCHECKED static bool make_records(void)
{
    if (mapped_pages_create(PAGE_ZONE_DATA, CHUNK_SIZE, PAGE_WRITE, &moving) != OK) {
        return false;
    }
    struct slab *chunk = (struct slab *)mapped_pages_start(STORED(moving));
    for (unsigned i = 1; i < CHUNK_RECORDS; i++) {
        chunk[i].next = i + 1 < CHUNK_RECORDS ? &chunk[i + 1] : records;
    }
    /* The chunk owns itself: its first record, which is never used, holds its mapping. */
    chunk->memory = moving;
    COMPILER_BARRIER();
    commit_three(&records, &chunk[1], &statistics.bytes_metadata,
                 statistics.bytes_metadata + CHUNK_SIZE, &moving, NULL);
    chunk->next = chunks;
    COMPILER_BARRIER();
    chunks = chunk; /* heap_is_free() follows the list at any time; a missing one is no matter */
    return true;
}

static bool reserve_record(void)
{
    return records || make_records();
}

static struct slab *prepare_record(uintptr_t start)
{
    struct slab *slab = records;
    ((struct front *)start)->slab = slab;
    slab->free = 0;
    slab->start = start;
    return slab;
}

static inline void plan_take_record(struct slab *slab, struct commit_list *list)
{
    commit_add(list, &records, slab->next);
}

static inline void plan_give_record(struct slab *slab, struct commit_list *list)
{
    commit_add(list, &slab->next, records);
    commit_add(list, &records, slab);
}

static uint64_t metadata_bytes(void)
{
    return statistics.bytes_metadata;
}

/* In the part of a slab that holds no allocated block? */
static bool is_free_in(const struct slab *slab, uintptr_t offset)
{
    if (slab->state.class >= HEAP_CLASS_LARGE || offset < SLAB_FIRST) {
        return offset < SLAB_FIRST;
    }
    uintptr_t size = heap_class_sizes[slab->state.class];
    uintptr_t number = (offset - SLAB_FIRST) / size;
    uintptr_t block = SLAB_FIRST + number * size;
    return number >= slab->state.capacity || slab->links[block / 8 + 1] != ALLOCATED;
}

bool heap_is_free(uintptr_t address)
{
    uintptr_t start = address & ~(uintptr_t)(SLAB_SIZE - 1);
    for (const struct slab *chunk = chunks; chunk; chunk = chunk->next) {
        for (unsigned i = 1; i < CHUNK_RECORDS; i++) {
            if (chunk[i].start == start && chunk[i].memory) {
                return is_free_in(&chunk[i], address - start);
            }
        }
    }
    return false;
}

/* ---- freeing ---- */

/* What is not an allocated block of a slab. */
NOINLINE static void free_other(void *block, const void *caller)
{
    if (!block) {
        return;
    }
    GUARD(spinlock, guard, &lock);
    settle_locked();
    if (claim(slab_of(block), block, ALLOCATED_LARGE)) {
        void *large = block;
        free_large(&large);
        return;
    }
    statistics.bad_frees++;
    log_error("%p freed %p, which is not an allocated block", caller, block);
}

/* One for a magazine that is full. It has been claimed. */
NOINLINE static void free_slowly(void *block)
{
    GUARD(spinlock, guard, &lock);
    GUARD(undo, noted, &changes);
    settle_locked();
    keep_block(slab_of(block)->state.class, &block);
}

/* What the fast path ends in, with its hold. */
NOINLINE static void free_and_release(void *block)
{
    free_slowly(block);
    preemption_release();
}

void heap_free(void *block)
{
    if (UNLIKELY(!block)) {
        return;
    }
    struct slab *slab = slab_of(block);
    if (UNLIKELY(!claim(slab, block, ALLOCATED))) {
        free_other(block, __builtin_return_address(0));
        return;
    }
    unsigned number = slab->state.class; /* it stays while a block is allocated */
    preemption_hold();
    if (UNLIKELY(!magazine_push(magazine_of(&magazines, number), block))) {
        free_and_release(block);
        return;
    }
    preemption_release();
}

/* A large block, one for a magazine that is full, or none at all. */
NOINLINE static void drop_slowly(void **slot, const void *caller)
{
    void *block = *slot;
    GUARD(spinlock, guard, &lock);
    GUARD(undo, noted, &changes);
    settle_locked();
    struct slab *slab = slab_of(block);
    uint8_t mark = *mark_of(slab, block);
    if (mark == ALLOCATED_LARGE) {
        free_large(slot);
    } else if (mark == ALLOCATED) {
        keep_block(slab->state.class, slot);
        set_mark(block, 0);
    } else {
        statistics.bad_frees++;
        log_error("%p freed %p, which is not an allocated block", caller, block);
        *slot = NULL;
    }
}

/* The mark goes last: until then the block is in the magazine, or the drop can be begun again. */
void heap_free_from(void *slot)
{
    void *block = *(void **)slot;
    if (!block) {
        return;
    }
    struct slab *slab = slab_of(block);
    if (LIKELY(*mark_of(slab, block) == ALLOCATED)) {
        preemption_hold();
        bool is_kept = magazine_push_from(magazine_of(&magazines, slab->state.class), slot);
        if (LIKELY(is_kept)) {
            set_mark(block, 0);
        }
        preemption_release();
        if (LIKELY(is_kept)) {
            return;
        }
    }
    drop_slowly(slot, __builtin_return_address(0));
}
