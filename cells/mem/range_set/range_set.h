/* SPDX-License-Identifier: MIT */
/*
 * range_set.h - a set of numbers, kept as address-ordered ranges.
 *
 * Why: the frame allocator and the page allocator both hand out runs of something that is numbered.
 * Both are this set of what is free, and their own few rules around it.
 *
 * Rules: the caller owns the storage and the locking. Ranges never touch: neighbours are merged, so
 * the set of numbers alone decides how many ranges there are. When the storage is full, whatever
 * would need one range more is refused with ERR_LIMIT and the set is unchanged. All functions are
 * O(number of ranges). No range reaches beyond UINT64_MAX. Any context.
 */
#pragma once

#include "status.h"

struct range {
    uint64_t start;
    uint64_t count; /* never 0 within a set */
};

struct range_set {
    struct range *ranges; /* by `start`, `used` of `capacity` */
    size_t capacity;
    size_t used;
    uint64_t total; /* numbers in the set */
};

/* An empty set over `capacity` ranges of storage, which must live as long as the set. */
CELL_API void range_set_init(struct range_set *set, struct range *storage, size_t capacity);

/*
 * Puts `count` numbers from `start` into the set. ERR_EXISTS when one of them is there already (a
 * double free), ERR_INVALID_ARGUMENT when `count` is 0 or the range wraps.
 */
MUST_CHECK CELL_API enum status range_set_add(struct range_set *set, uint64_t start,
                                              uint64_t count);

/*
 * Takes the lowest `count` consecutive numbers whose first is a multiple of `alignment` (a power of
 * two, 1 for any). ERR_NOT_FOUND when there are none.
 */
MUST_CHECK CELL_API enum status range_set_take(struct range_set *set, uint64_t count,
                                               uint64_t alignment, uint64_t *out_start);

/* Takes the highest `count` consecutive numbers. ERR_NOT_FOUND when there are none. */
MUST_CHECK CELL_API enum status range_set_take_top(struct range_set *set, uint64_t count,
                                                   uint64_t *out_start);

/* Takes exactly these numbers. ERR_NOT_FOUND when not all of them are in the set. */
MUST_CHECK CELL_API enum status range_set_take_at(struct range_set *set, uint64_t start,
                                                  uint64_t count);

/* Removes whatever of these numbers is in the set: for reservations. An empty range is no error. */
MUST_CHECK CELL_API enum status range_set_remove(struct range_set *set, uint64_t start,
                                                 uint64_t count);

/* Are all of these numbers in the set? */
CELL_API bool range_set_holds(const struct range_set *set, uint64_t start, uint64_t count);
