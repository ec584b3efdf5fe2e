/* SPDX-License-Identifier: MIT */
/*
 * heap_slabs.h - what the slab heaps have in common: sizes.
 *
 * Why: heaps that differ in safety only can be compared only when all else is equal.
 *
 * Rules: for implementations of heap.h. A *slab* is SLAB_SIZE bytes, aligned to that, and holds
 * blocks of one *class*, from SLAB_FIRST on. A *granule* is 16 bytes: all sizes are multiples.
 */
#pragma once

#include "frame_allocator.h"
#include "memory.h"

#define SLAB_SIZE     16384u
#define SLAB_PAGES    (SLAB_SIZE / PAGE_SIZE)
#define SLAB_FIRST    512u /* of 32 granules, where heap_safe and heap_unsafe keep their records */
#define GRANULE       16u
#define SLAB_GRANULES (SLAB_SIZE / GRANULE)

/* Empty slabs that are kept, whatever their class was: mapping one costs as much as 100 blocks. */
#define SPARE_SLABS_MAX 32u

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

/* Frames in one range, so that their handle is one descriptor; in several where there is none. */
static inline enum status heap_take_frames(uint64_t count, struct frames **out) OWN_ACQUIRES(**out);

OWN_UNCHECKED static inline enum status heap_take_frames(uint64_t count, struct frames **out)
{
    enum status status = frame_allocator_take(count, 1, out);
    return status == ERR_NO_MEMORY ? frame_allocator_take_any(count, out) : status;
}
