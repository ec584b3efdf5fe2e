/* SPDX-License-Identifier: MIT */
/*
 * heap_slabs_life.h - the life of slabs, and the way of blocks through them.
 *
 * Why: the slab heaps differ in where a slab's record is, in how its free blocks are linked and in
 * what is asked of a pointer. The rest is here, once, so that they are equal in it.
 *
 * Rules: included once by a heap, after heap.h and `struct slab`, with these defined: SLAB_LINK,
 * the type by which slabs name each other; BLOCK_LINK, that by which a free block of a slab names
 * the next one: 0 is none, and it grows by 1 for each BLOCK_LINK_BYTES of the slab. A slab has at
 * least the fields
 *
 *      BLOCK_LINK free;                the first free block
 *      struct slab_state state;
 *      SLAB_LINK next, previous;       in the class's list; `next` also among spare slabs
 *
 * Behind it the heap defines what is declared under "the policy", and heap_free(), heap_free_from()
 * and heap_is_free(); the other functions of heap.h are here.
 *
 *   state     in the class's list   countdown
 *   listed    yes                   blocks in use, one more if pinned
 *   full      no                    1, so that the next free takes the slow path
 *
 * So one decrement finds both events that matter: a full slab gets a free block, and the last block
 * is freed. Each class pins one slab, which stays when it is empty. A class's first slab is where
 * blocks come from; a full one is dropped from the list when an allocation finds it there, and
 * comes back at the end. Blocks are cut from a fresh slab a few at a time.
 *
 * Under the lock everything is done in changes with a commit (undo.h), after each of which the
 * records are whole; mappings are made and dropped between two, and `moving` owns them then. The
 * links of blocks that are not free are not noted: they mean nothing, but for their marks.
 */
#pragma once

#include "freestanding.h"
#include "heap_slabs.h"
#include "mapped_pages.h"
#include "spinlock.h"

#ifdef SLAB_LINK

struct size_class {
    struct slab *first; /* never NULL: at the end, &nothing */
    struct slab *last;
    uint64_t allocations; /* that no magazine has answered */
    uint32_t full_count;
    bool has_pinned;
};
static_assert(sizeof(struct size_class) == 32, "found by a shift");

static struct slab nothing; /* a slab without blocks */

static struct size_class classes[HEAP_CLASS_COUNT] = {
    [0 ... HEAP_CLASS_COUNT - 1] = {.first = &nothing, .last = &nothing},
};
static struct slab *spares = &nothing; /* through next, to &nothing */
static uint64_t spare_count;
static struct heap_statistics statistics; /* what is not summed up from the slabs */
static struct mapped_pages *moving; /* on its way to or from a slab; NULL between operations */
static struct undo_note notes[HEAP_NOTES];
static struct undo changes = UNDO_INIT(notes);

static struct spinlock lock = {.name = "heap"}; /* protects all of the above */
static struct magazines magazines;              /* each CPU its own */

/* ---- the policy ---- */

/* A slab by its name, and back; &nothing has one, too. */
static inline struct slab *slab_named(SLAB_LINK name);
static inline SLAB_LINK name_of(const struct slab *slab);

/* The slab of a block, and the block's link there; and back. */
static inline struct slab *slab_of(const void *block);
static inline BLOCK_LINK link_of(const struct slab *slab, const void *block);
static inline void *block_at(const struct slab *slab, BLOCK_LINK link);

/* Of the block at SLAB_FIRST. */
static inline BLOCK_LINK first_link(const struct slab *slab);

/* Where the link of a free block is stored. */
static inline BLOCK_LINK *link_at(struct slab *slab, BLOCK_LINK link);

/* A block leaves: a free one of a slab, which is noted, or one of a magazine. */
static inline void mark_taken(struct slab *slab, BLOCK_LINK link);
static inline void mark_allocated(void *block);

/* Maps memory for one more spare slab; false: there is none. */
static bool make_spare(void);

/* Gives the memory of the first spare slab back. */
static void drop_spare(void);

/* What is moving, or was interrupted on its way otherwise, goes back. */
static inline void settle_memory(void);

/* A block with pages of its own, into *out. */
static bool allocate_large(size_t bytes, void **out);

static uint64_t metadata_bytes(void);

/* ---- lists; changes are noted ---- */

static void list_append(struct size_class *class, struct slab *slab)
{
    UNDO_SET(&changes, slab->next, name_of(&nothing));
    UNDO_SET(&changes, slab->previous, name_of(class->last));
    if (class->last == &nothing) {
        UNDO_SET(&changes, class->first, slab);
    } else {
        UNDO_SET(&changes, class->last->next, name_of(slab));
    }
    UNDO_SET(&changes, class->last, slab);
}

static void list_remove(struct size_class *class, struct slab *slab)
{
    struct slab *next = slab_named(slab->next);
    struct slab *previous = slab_named(slab->previous);
    if (previous == &nothing) {
        UNDO_SET(&changes, class->first, next);
    } else {
        UNDO_SET(&changes, previous->next, slab->next);
    }
    if (next == &nothing) {
        UNDO_SET(&changes, class->last, previous);
    } else {
        UNDO_SET(&changes, next->previous, slab->previous);
    }
}

/* ---- slabs; changes are noted ---- */

/* Gives memory back that was kept for too many slabs. */
static void trim_spares(void)
{
    while (UNLIKELY(spare_count > SPARE_SLABS_MAX)) {
        drop_spare();
    }
}

/* Who had the lock before may have been interrupted. */
static inline void settle_locked(void)
{
    settle_memory();
    trim_spares();
}

/* The first spare slab is one of this class. */
static void use_spare(unsigned number)
{
    struct slab *slab = spares;
    UNDO_SET(&changes, spares, slab_named(slab->next));
    UNDO_SET(&changes, spare_count, spare_count - 1);
    slab->free = 0; /* of a spare this means nothing */
    slab->state = (struct slab_state){.class = (uint16_t)number,
                                      .capacity = (uint16_t)heap_class_capacity(number)};
    list_append(&classes[number], slab);
}

static void give_slab(struct slab *slab)
{
    UNDO_SET(&changes, slab->next, name_of(spares));
    UNDO_SET(&changes, spares, slab);
    UNDO_SET(&changes, spare_count, spare_count + 1);
}

/* Puts the next few blocks into the list, the lowest first. False when there are none left. */
static bool carve(struct slab *slab)
{
    unsigned end = slab->state.carved + CARVE_COUNT;
    end = end < slab->state.capacity ? end : slab->state.capacity;
    unsigned step = heap_class_sizes[slab->state.class] / BLOCK_LINK_BYTES;
    BLOCK_LINK first = slab->free;
    BLOCK_LINK link = (BLOCK_LINK)(first_link(slab) + end * step);
    for (unsigned i = end; i > slab->state.carved; i--) {
        link = (BLOCK_LINK)(link - step);
        *link_at(slab, link) = first;
        first = link;
    }
    bool any = end > slab->state.carved;
    UNDO_SET(&changes, slab->free, first);
    UNDO_SET(&changes, slab->state.carved, (uint16_t)end);
    return any;
}

/* Makes the first slab one that has a free block. Each step is a change of its own. */
static bool refill(unsigned number)
{
    struct size_class *class = &classes[number];
    for (;;) {
        struct slab *slab = class->first;
        if (slab == &nothing) {
            if (spares == &nothing && !make_spare()) {
                return false;
            }
            use_spare(number);
            undo_commit(&changes);
            continue;
        }
        if (slab->free) {
            return true;
        }
        if (!carve(slab)) {
            list_remove(class, slab);
            UNDO_SET(&changes, slab->state.is_full, true);
            UNDO_SET(&changes, slab->state.countdown, 1);
            UNDO_SET(&changes, class->full_count, class->full_count + 1);
        }
        undo_commit(&changes);
    }
}

/* The countdown is at 0. */
NOINLINE static void leave(struct slab *slab)
{
    struct slab_state *state = &slab->state;
    struct size_class *class = &classes[state->class];
    if (state->is_full) {
        UNDO_SET(&changes, state->is_full, false);
        UNDO_SET(&changes, state->countdown, (uint16_t)(state->capacity - 1 + state->is_pinned));
        UNDO_SET(&changes, class->full_count, class->full_count - 1);
        list_append(class, slab);
    }
    if (state->countdown > 0) {
        return;
    }
    if (!class->has_pinned) {
        UNDO_SET(&changes, class->has_pinned, true);
        UNDO_SET(&changes, state->is_pinned, true);
        UNDO_SET(&changes, state->countdown, 1);
        return;
    }
    list_remove(class, slab);
    give_slab(slab);
}

/* ---- blocks ---- */

/* One that has been claimed, or is in a magazine. The change is noted. */
static void give_block(void *block)
{
    struct slab *slab = slab_of(block);
    BLOCK_LINK link = link_of(slab, block);
    *link_at(slab, link) = slab->free;
    UNDO_SET(&changes, slab->free, link);
    UNDO_SET(&changes, slab->state.countdown, (uint16_t)(slab->state.countdown - 1));
    if (slab->state.countdown == 0) {
        leave(slab);
    }
}

/*
 * Takes a block and, if it has more at hand, some for this CPU's magazine, the lowest on top. No
 * slab is mapped for these.
 */
static bool take_several(unsigned number, void **out)
{
    struct magazine *magazine = magazine_of(&magazines, number);
    if (!refill(number)) {
        return false;
    }
    struct slab *slab = classes[number].first;
    BLOCK_LINK first = slab->free;
    BLOCK_LINK link = *link_at(slab, first);
    void *blocks[MAGAZINE_HALF];
    unsigned count = 0;
    for (; count < MAGAZINE_HALF && link; link = *link_at(slab, link)) {
        blocks[count++] = block_at(slab, link);
    }
    for (unsigned i = 0; i < count; i++) { /* it was empty, or its blocks have been given back */
        magazine->blocks[magazine->count + i] = blocks[count - 1 - i];
    }
    mark_taken(slab, first);
    UNDO_SET(&changes, slab->free, link);
    UNDO_SET(&changes, slab->state.countdown, (uint16_t)(slab->state.countdown + 1 + count));
    UNDO_SET(&changes, magazine->count, magazine->count + count);
    UNDO_SET(&changes, classes[number].allocations, classes[number].allocations + 1);
    UNDO_SET(&changes, *out, block_at(slab, first));
    undo_commit(&changes);
    return true;
}

/* Gives the older half of a magazine back, or all of it. */
static void empty_magazine(struct magazine *magazine, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        give_block(magazine->blocks[i]);
    }
    magazine_forget(magazine, count, &changes);
    undo_commit(&changes);
    trim_spares();
}

static void empty_magazines_of_this_cpu(void)
{
    for (unsigned i = 0; i < HEAP_CLASS_COUNT; i++) {
        struct magazine *magazine = magazine_of(&magazines, i);
        empty_magazine(magazine, magazine->count);
    }
}

/* A block of this class goes from *slot into its magazine, which may be full. */
static inline void keep_block(unsigned number, void **slot)
{
    struct magazine *magazine = magazine_of(&magazines, number);
    if (magazine->count == MAGAZINE_SIZE) {
        empty_magazine(magazine, MAGAZINE_HALF);
    }
    (void)magazine_push_from(magazine, slot);
}

/* ---- allocating ---- */

static inline unsigned class_of(size_t bytes)
{
    return heap_class_of[(bytes + GRANULE - 1) / GRANULE];
}

static bool allocate_locked(size_t bytes, void **out)
{
    return bytes > HEAP_SMALL_MAX ? allocate_large(bytes, out) : take_several(class_of(bytes), out);
}

/* Into *out, which is left as it is where there is no memory. */
NOINLINE static bool allocate_slowly(size_t bytes, void **out)
{
    GUARD(spinlock, guard, &lock);
    GUARD(undo, noted, &changes);
    settle_locked();
    bool is_done = allocate_locked(bytes, out);
    if (UNLIKELY(!is_done)) {
        empty_magazines_of_this_cpu();
        is_done = allocate_locked(bytes, out);
    }
    if (!is_done || bytes > HEAP_SMALL_MAX) {
        statistics.allocations++;
        statistics.failures += !is_done;
    }
    return is_done;
}

/* What the fast path ends in, with its hold. */
NOINLINE static void *allocate_and_release(size_t bytes)
{
    void *block = NULL;
    (void)!allocate_slowly(bytes, &block);
    preemption_release();
    return block;
}

NOINLINE static void *allocate_by_value(size_t bytes)
{
    void *block = NULL;
    return allocate_slowly(bytes, &block) ? block : NULL;
}

void *heap_allocate(size_t bytes)
{
    if (UNLIKELY(bytes > HEAP_SMALL_MAX)) {
        return allocate_by_value(bytes);
    }
    unsigned number = class_of(bytes);
    preemption_hold();
    void *block = magazine_pop(magazine_of(&magazines, number));
    if (UNLIKELY(!block)) {
        return allocate_and_release(bytes);
    }
    mark_allocated(block);
    return LIKELY(!preemption_release_quietly()) ? block : magazine_switch(block);
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = heap_allocate(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

/* What goes to the owner is marked before it leaves the magazine. */
bool heap_allocate_to(size_t bytes, void *out)
{
    OWN_DEMAND_(!*(void **)out);
    if (LIKELY(bytes <= HEAP_SMALL_MAX)) {
        preemption_hold();
        struct magazine *magazine = magazine_of(&magazines, class_of(bytes));
        if (LIKELY(magazine->count > 0)) {
            mark_allocated(magazine_top(magazine));
            magazine_pop_to(magazine, out);
            preemption_release();
            return true;
        }
        preemption_release();
    }
    return allocate_slowly(bytes, out);
}

/* ---- statistics ---- */

static uint64_t blocks_of_slabs(unsigned number)
{
    const struct size_class *class = &classes[number];
    uint64_t blocks = (uint64_t) class->full_count * heap_class_capacity(number);
    for (const struct slab *slab = class->first; slab != &nothing; slab = slab_named(slab->next)) {
        blocks += slab->state.countdown - slab->state.is_pinned;
    }
    return blocks;
}

struct heap_statistics heap_statistics(void)
{
    GUARD(spinlock, guard, &lock);
    GUARD(undo, noted, &changes);
    settle_locked();
    empty_magazines_of_this_cpu();
    struct heap_statistics sum = statistics;
    sum.bytes_metadata = metadata_bytes();
    for (unsigned i = 0; i < HEAP_CLASS_COUNT; i++) {
        uint64_t at_hand;
        uint64_t answered;
        magazines_sum(&magazines, i, &at_hand, &answered);
        uint64_t blocks = blocks_of_slabs(i) - at_hand;
        sum.allocations += classes[i].allocations + answered;
        sum.blocks_in_use += blocks;
        sum.bytes_in_use += blocks * heap_class_sizes[i];
    }
    return sum;
}

uint64_t heap_check(void)
{
    return 0;
}

#endif
