/* SPDX-License-Identifier: MIT */
/*
 * heap_slabs.h - what the slab heaps have in common: sizes, and what each CPU keeps at hand. Beside
 * it is the rest of it, in the order of who uses whom: heap_slabs_life.h, heap_slabs_mapped.h.
 *
 * Why: heaps that differ in safety only can be compared only when all else is equal.
 *
 * Rules: for implementations of heap.h. A *slab* is SLAB_SIZE bytes, aligned to that, and holds
 * blocks of one *class*, from SLAB_FIRST on. A *granule* is 16 bytes: all sizes are multiples.
 *
 * Slabs are protected by one lock. In front of them each CPU has a *magazine* of free blocks for
 * each class, which it uses with preemption held and nobody else touches; one that is empty or full
 * is refilled, or half emptied, under the lock. To the slabs these blocks are in use.
 */
#pragma once

#include "commit.h"
#include "frame_allocator.h"
#include "memory.h"
#include "preemption.h"
#include "undo.h"

#define SLAB_SIZE     16384u
#define SLAB_PAGES    (SLAB_SIZE / PAGE_SIZE)
#define SLAB_FIRST    512u /* of 32 granules, where heap_safe and heap_unsafe keep their records */
#define GRANULE       16u
#define SLAB_GRANULES (SLAB_SIZE / GRANULE)

/* Empty slabs that are kept, whatever their class was: mapping one costs as much as 100 blocks. */
#ifndef SPARE_SLABS_MAX
    #define SPARE_SLABS_MAX 32u
#endif

/* How many blocks are cut at once from the part of a slab that was never used. */
#define CARVE_COUNT 32u

/*
 * X(class, first, last): sizes from `first` to `last` granules get `last`. Four classes for each
 * power of two; above 1 KiB, what divides a slab best.
 */
/* clang-format off */
#define HEAP_CLASS_TABLE(X)                                                      \
    X(0, 0, 1)                                                                   \
    X(1, 2, 2) X(2, 3, 3) X(3, 4, 4) X(4, 5, 5) X(5, 6, 6) X(6, 7, 7) X(7, 8, 8) \
    X(8, 9, 10) X(9, 11, 12) X(10, 13, 14) X(11, 15, 16)                         \
    X(12, 17, 20) X(13, 21, 24) X(14, 25, 28) X(15, 29, 32)                      \
    X(16, 33, 40) X(17, 41, 48) X(18, 49, 56) X(19, 57, 64)                      \
    X(20, 65, 82) X(21, 83, 99) X(22, 100, 124) X(23, 125, 165) X(24, 166, 248)
/* clang-format on */

#define HEAP_CLASS_COUNT 25u
#define HEAP_CLASS_LARGE HEAP_CLASS_COUNT /* a block with pages of its own */
#define HEAP_SMALL_MAX   (248u * GRANULE)

/* The class of a size in granules, rounded up. */
UNUSED static const uint8_t heap_class_of[] = {
#define HEAP_CLASS_OF_(class, first, last) [first... last] = class,
    HEAP_CLASS_TABLE(HEAP_CLASS_OF_)
#undef HEAP_CLASS_OF_
};

UNUSED static const uint16_t heap_class_sizes[HEAP_CLASS_COUNT] = {
#define HEAP_CLASS_SIZE_(class, first, last) [class] = (last)*GRANULE,
    HEAP_CLASS_TABLE(HEAP_CLASS_SIZE_)
#undef HEAP_CLASS_SIZE_
};

static inline unsigned heap_class_capacity(unsigned class)
{
    return (SLAB_SIZE - SLAB_FIRST) / heap_class_sizes[class];
}

/* What all slab heaps know of a slab, wherever they keep it. */
struct slab_state {
    uint16_t class;
    uint16_t countdown;
    uint16_t capacity;
    uint16_t carved; /* blocks that were free once: those behind are not in the list yet */
    bool is_full;
    bool is_pinned;
};

/* ---- magazines ---- */

#define MAGAZINE_SIZE 14u /* with its counters two cache lines */
#define MAGAZINE_HALF (MAGAZINE_SIZE / 2)

struct magazine {
    uint64_t count;
    uint64_t allocations; /* answered from here */
    void *blocks[MAGAZINE_SIZE];
};
static_assert(sizeof(struct magazine) == 128, "found by a shift");

/* All that a heap has of them. */
struct magazines {
    struct magazine of[CPU_LIMIT][32]; /* by class: 25 are used, 32 are found by a shift */
};
static_assert(HEAP_CLASS_COUNT <= 32, "fits");

/* Preemption is held, and as long as it is. */
static inline struct magazine *magazine_of(struct magazines *magazines, unsigned class)
{
    struct magazine *magazine = &magazines->of[CPU_LOCAL(index)][class];
    __asm__("" : "+r"(magazine)); /* one sum, not one for each field */
    return magazine;
}

/*
 * The block that is popped next, of a magazine that has one; and how it leaves, into *out, at every
 * instruction in one of both.
 */
static inline void *magazine_top(const struct magazine *magazine)
{
    return magazine->blocks[magazine->count - 1];
}

static inline void magazine_pop_to(struct magazine *magazine, void **out)
{
    magazine->allocations++;
    commit_two(&magazine->count, magazine->count - 1, out, magazine->blocks[magazine->count - 1]);
}

/* From *slot, unless it is full. */
static inline bool magazine_push_from(struct magazine *magazine, void **slot)
{
    uint64_t count = magazine->count;
    if (UNLIKELY(count == MAGAZINE_SIZE)) {
        return false;
    }
    magazine->blocks[count] = *slot;
    COMPILER_BARRIER();
    commit_two(&magazine->count, count + 1, slot, NULL);
    return true;
}

/* NULL when it is empty. */
static inline void *magazine_pop(struct magazine *magazine)
{
    uint64_t count = magazine->count;
    if (UNLIKELY(count == 0)) {
        return NULL;
    }
    void *block = magazine->blocks[count - 1];
    magazine->allocations++;
    COMPILER_BARRIER();
    magazine->count = count - 1; /* the commit */
    if (!block) {
        __builtin_unreachable();
    }
    return block;
}

/* Puts a block there, unless it is full. */
static inline bool magazine_push(struct magazine *magazine, void *block)
{
    uint64_t count = magazine->count;
    if (UNLIKELY(count == MAGAZINE_SIZE)) {
        return false;
    }
    magazine->blocks[count] = block;
    COMPILER_BARRIER();
    magazine->count = count + 1; /* the commit */
    return true;
}

/* The end of a hold in the fast paths, which then need no frame: returns `block`. */
static NOINLINE UNUSED void *magazine_switch(void *block)
{
    preemption_switch();
    return block;
}

/*
 * Takes the `count` oldest blocks, which have been given back, out of a magazine; changes are
 * noted.
 */
UNUSED static void magazine_forget(struct magazine *magazine, uint64_t count, struct undo *changes)
{
    uint64_t left = magazine->count - count;
    for (uint64_t i = 0; i < left; i++) {
        UNDO_SET(changes, magazine->blocks[i], magazine->blocks[i + count]);
    }
    UNDO_SET(changes, magazine->count, left);
}

/* What all CPUs have of a class; exact while they do nothing. */
UNUSED static void magazines_sum(const struct magazines *magazines, unsigned class,
                                 uint64_t *out_blocks, uint64_t *out_allocations)
{
    *out_blocks = 0;
    *out_allocations = 0;
    for (unsigned cpu = 0; cpu < CPU_LIMIT; cpu++) {
        const struct magazine *magazine = &magazines->of[cpu][class];
        *out_blocks += __atomic_load_n(&magazine->count, __ATOMIC_RELAXED);
        *out_allocations += __atomic_load_n(&magazine->allocations, __ATOMIC_RELAXED);
    }
}

/*
 * Room for the notes of one change under the lock: half a magazine goes back, each block of it to a
 * slab that leaves its list (about 16 words), and what is left moves up.
 */
#define HEAP_NOTES (MAGAZINE_SIZE * 20u)

/* Frames in one range, so that their handle is one descriptor; in several where there is none. */
static inline enum status heap_take_frames(uint64_t count, struct frames **out) OWN_ACQUIRES(**out);

OWN_UNCHECKED static inline enum status heap_take_frames(uint64_t count, struct frames **out)
{
    enum status status = frame_allocator_take(count, 1, out);
    return status == ERR_NO_MEMORY ? frame_allocator_take_any(count, out) : status;
}
