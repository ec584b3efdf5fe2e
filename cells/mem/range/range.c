/* SPDX-License-Identifier: MIT */
/*
 * No sum here can wrap: every comparison is between a difference that is known not to be negative and a
 * count. The end of a range, which may be 2^64, is never computed.
 */
#include "range.h"

CELL(library, "1.0.0");

bool range_is_valid(struct range r)
{
    return r.count > 0 && r.count - 1 <= UINT64_MAX - r.start;
}

bool range_overlaps(struct range a, struct range b)
{
    return a.start <= b.start ? b.start - a.start < a.count : a.start - b.start < b.count;
}

bool range_contains(struct range outer, struct range inner)
{
    return inner.start >= outer.start && inner.start - outer.start < outer.count &&
           inner.count <= outer.count - (inner.start - outer.start);
}

enum status range_split(struct range whole, uint64_t first_count, struct range *first,
                        struct range *rest)
{
    if (first_count == 0 || first_count >= whole.count) {
        return ERR_OUT_OF_BOUNDS;
    }
    first->start = whole.start;
    first->count = first_count;
    rest->start = whole.start + first_count;
    rest->count = whole.count - first_count;
    return OK;
}

bool range_touches(struct range a, struct range b)
{
    return b.start > a.start && b.start - a.start == a.count;
}

enum status range_join(struct range a, struct range b, struct range *joined)
{
    if (!range_touches(a, b)) {
        return ERR_MISMATCH;
    }
    joined->start = a.start;
    joined->count = a.count + b.count;
    return OK;
}

bool range_fit(struct range whole, uint64_t count, uint64_t alignment, struct range *fit)
{
    uint64_t beyond = whole.start % alignment;
    uint64_t skipped = beyond ? alignment - beyond : 0;
    if (skipped >= whole.count || whole.count - skipped < count) {
        return false;
    }
    fit->start = whole.start + skipped;
    fit->count = count;
    return true;
}
