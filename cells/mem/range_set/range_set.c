/* SPDX-License-Identifier: MIT */
/*
 * A sorted array. Taking from the low end of a range, which is what nearly every call does, moves
 * no other element. A tree would make the rest O(log n); at the few hundred ranges that a
 * firmware's memory map has, moving 16-byte elements is faster, and this code allocates nothing.
 */
#include "range_set.h"

CELL(library, "1.0.0");

static bool is_range(uint64_t start, uint64_t count)
{
    return count != 0 && count - 1 <= UINT64_MAX - start;
}

/* The last number: unlike one past it, this cannot wrap. */
static uint64_t last_of(const struct range *range)
{
    return range->start + (range->count - 1);
}

/* Index of the first range that ends at or after `number`; `used` if there is none. */
static size_t first_ending_from(const struct range_set *set, uint64_t number)
{
    size_t low = 0;
    size_t high = set->used;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (last_of(&set->ranges[middle]) < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void insert_at(struct range_set *set, size_t index, struct range range)
{
    for (size_t i = set->used; i > index; i--) {
        set->ranges[i] = set->ranges[i - 1];
    }
    set->ranges[index] = range;
    set->used++;
}

static void delete_at(struct range_set *set, size_t index)
{
    set->used--;
    for (size_t i = index; i < set->used; i++) {
        set->ranges[i] = set->ranges[i + 1];
    }
}

/* Takes numbers start..last out of the range at `index`, which holds all of them. */
static enum status cut(struct range_set *set, size_t index, uint64_t start, uint64_t last)
{
    struct range *range = &set->ranges[index];
    uint64_t range_last = last_of(range);
    uint64_t below = start - range->start;
    uint64_t above = range_last - last;

    if (below && above) {
        if (set->used == set->capacity) {
            return ERR_LIMIT;
        }
        range->count = below;
        insert_at(set, index + 1, (struct range){.start = last + 1, .count = above});
    } else if (below) {
        range->count = below;
    } else if (above) {
        *range = (struct range){.start = last + 1, .count = above};
    } else {
        delete_at(set, index);
    }
    set->total -= last - start + 1;
    return OK;
}

void range_set_init(struct range_set *set, struct range *storage, size_t capacity)
{
    *set = (struct range_set){.ranges = storage, .capacity = capacity};
}

enum status range_set_add(struct range_set *set, uint64_t start, uint64_t count)
{
    if (!is_range(start, count)) {
        return ERR_INVALID_ARGUMENT;
    }
    uint64_t last = start + (count - 1);
    size_t index = first_ending_from(set, start);
    struct range *next = index < set->used ? &set->ranges[index] : NULL;
    struct range *previous = index > 0 ? &set->ranges[index - 1] : NULL;

    if (next && next->start <= last) {
        return ERR_EXISTS;
    }
    bool joins_previous = previous && last_of(previous) + 1 == start;
    bool joins_next = next && last + 1 == next->start;
    if (!joins_previous && !joins_next) {
        if (set->used == set->capacity) {
            return ERR_LIMIT;
        }
        insert_at(set, index, (struct range){.start = start, .count = count});
    } else if (joins_previous && joins_next) {
        previous->count += count + next->count;
        delete_at(set, index);
    } else if (joins_previous) {
        previous->count += count;
    } else {
        next->start = start;
        next->count += count;
    }
    set->total += count;
    return OK;
}

enum status range_set_take(struct range_set *set, uint64_t count, uint64_t alignment,
                           uint64_t *out_start)
{
    if (count == 0 || alignment == 0 || (alignment & (alignment - 1)) != 0) {
        return ERR_INVALID_ARGUMENT;
    }
    for (size_t i = 0; i < set->used; i++) {
        const struct range *range = &set->ranges[i];
        uint64_t padding = (0 - range->start) & (alignment - 1);
        if (padding >= range->count || count > range->count - padding) {
            continue;
        }
        uint64_t start = range->start + padding;
        enum status status = cut(set, i, start, start + (count - 1));
        if (status == OK) {
            *out_start = start;
        }
        return status;
    }
    return ERR_NOT_FOUND;
}

enum status range_set_take_top(struct range_set *set, uint64_t count, uint64_t *out_start)
{
    if (count == 0) {
        return ERR_INVALID_ARGUMENT;
    }
    for (size_t i = set->used; i > 0; i--) {
        const struct range *range = &set->ranges[i - 1];
        if (count > range->count) {
            continue;
        }
        uint64_t last = last_of(range);
        *out_start = last - (count - 1);
        return cut(set, i - 1, last - (count - 1), last); /* an end: cannot need a range more */
    }
    return ERR_NOT_FOUND;
}

enum status range_set_take_at(struct range_set *set, uint64_t start, uint64_t count)
{
    if (!is_range(start, count)) {
        return ERR_INVALID_ARGUMENT;
    }
    if (!range_set_holds(set, start, count)) {
        return ERR_NOT_FOUND;
    }
    return cut(set, first_ending_from(set, start), start, start + (count - 1));
}

enum status range_set_remove(struct range_set *set, uint64_t start, uint64_t count)
{
    if (count == 0) {
        return OK;
    }
    if (!is_range(start, count)) {
        return ERR_INVALID_ARGUMENT;
    }
    uint64_t last = start + (count - 1);
    size_t index = first_ending_from(set, start);
    /* Only a cut out of the middle of one range can fail, and then it is the only cut. */
    while (index < set->used && set->ranges[index].start <= last) {
        const struct range *range = &set->ranges[index];
        uint64_t from = range->start > start ? range->start : start;
        uint64_t to = last_of(range) < last ? last_of(range) : last;
        enum status status = cut(set, index, from, to);
        if (status != OK) {
            return status;
        }
        index = first_ending_from(set, start);
    }
    return OK;
}

bool range_set_holds(const struct range_set *set, uint64_t start, uint64_t count)
{
    if (!is_range(start, count)) {
        return false;
    }
    size_t index = first_ending_from(set, start);
    return index < set->used && set->ranges[index].start <= start &&
           start + (count - 1) <= last_of(&set->ranges[index]);
}
