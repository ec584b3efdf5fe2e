/* SPDX-License-Identifier: MIT */
/*
 * range.h - arithmetic of ranges of numbers: overlap, cut, join.
 *
 * Why: frames and pages are numbered, and all that owners do with them is to cut ranges apart and
 * to put them together again. That nothing is lost or doubled by it is proven here (Frama-C, WP:
 * docs/proofs.md), not argued in each allocator: they decide nothing about numbers themselves.
 *
 * Rules: pure. A range is `count` numbers from `start` on. It is *valid* when it is not empty and
 * its end, the number behind its last one, is a number too; so UINT64_MAX is in no valid range, and
 * the union of any two is countable. Functions take valid ranges and give valid ones, unless an
 * empty one is mentioned. The contracts below are checked by the proof, not when the code runs. Any
 * context.
 */
#pragma once

#include "status.h"

struct range {
    uint64_t start;
    uint64_t count;
};

/*@ logic integer end_of(struct range r) = r.start + r.count;
  @ predicate valid_range(struct range r) = 0 < r.count && end_of(r) <= 0xffffffffffffffff;
  @ predicate inside(integer x, struct range r) = r.start <= x < end_of(r);
  @
  @ // Between the two is at least one number: they neither overlap nor touch.
  @ predicate apart(struct range lower, struct range upper) = end_of(lower) < upper.start;
  @
  @ // No number is in both.
  @ predicate disjoint(struct range a, struct range b) =
  @   \forall integer x; !(inside(x, a) && inside(x, b));
  @*/

/*@ assigns \nothing;
  @ ensures \result <==> valid_range(r);
  @*/
CELL_API bool range_is_valid(struct range r);

/* Is there a number in both? */
/*@ requires valid_range(a) && valid_range(b);
  @ assigns \nothing;
  @ ensures \result <==> !disjoint(a, b);
  @ ensures \result <==> a.start < end_of(b) && b.start < end_of(a);
  @*/
CELL_API bool range_overlaps(struct range a, struct range b);

/* Is every number of `inner` in `outer`? */
/*@ requires valid_range(outer) && valid_range(inner);
  @ assigns \nothing;
  @ ensures \result <==> (\forall integer x; inside(x, inner) ==> inside(x, outer));
  @*/
CELL_API bool range_contains(struct range outer, struct range inner);

/*
 * Cuts `whole` into its first `first_count` numbers and the rest. ERR_OUT_OF_BOUNDS, and nothing is
 * written, unless both parts have at least one number.
 */
/*@ requires valid_range(whole);
  @ requires \valid(first) && \valid(rest) && \separated(first, rest);
  @ assigns *first, *rest;
  @ behavior cut:
  @   assumes 0 < first_count < whole.count;
  @   ensures \result == OK;
  @   ensures valid_range(*first) && valid_range(*rest);
  @   ensures first->count == first_count;
  @   ensures \forall integer x; inside(x, whole) <==> (inside(x, *first) || inside(x, *rest));
  @   ensures disjoint(*first, *rest);
  @ behavior refused:
  @   assumes first_count == 0 || first_count >= whole.count;
  @   assigns \nothing;
  @   ensures \result == ERR_OUT_OF_BOUNDS;
  @ complete behaviors;
  @ disjoint behaviors;
  @*/
CELL_API MUST_CHECK enum status range_split(struct range whole, uint64_t first_count,
                                            struct range *first, struct range *rest);

/* Cuts `wanted` out of `whole`, which contains it. What stays below and above it may be empty. */
/*@ requires valid_range(whole) && valid_range(wanted);
  @ requires whole.start <= wanted.start && end_of(wanted) <= end_of(whole);
  @ requires \valid(below) && \valid(above) && \separated(below, above);
  @ assigns *below, *above;
  @ ensures below->count == 0 || valid_range(*below);
  @ ensures above->count == 0 || valid_range(*above);
  @ ensures \forall integer x; inside(x, whole) <==>
  @         (inside(x, *below) || inside(x, wanted) || inside(x, *above));
  @ ensures disjoint(*below, wanted) && disjoint(wanted, *above);
  @ ensures apart(*below, *above);
  @ ensures below->count + wanted.count + above->count == whole.count;
  @*/
CELL_API void range_cut(struct range whole, struct range wanted, struct range *below,
                        struct range *above);

/* Does `b` begin where `a` ends? */
/*@ requires valid_range(a) && valid_range(b);
  @ assigns \nothing;
  @ ensures \result <==> end_of(a) == b.start;
  @*/
CELL_API bool range_touches(struct range a, struct range b);

/* Puts `b` behind `a`. ERR_MISMATCH, and nothing is written, unless range_touches(a, b). */
/*@ requires valid_range(a) && valid_range(b);
  @ requires \valid(joined);
  @ assigns *joined;
  @ behavior joins:
  @   assumes end_of(a) == b.start;
  @   ensures \result == OK;
  @   ensures valid_range(*joined);
  @   ensures \forall integer x; inside(x, *joined) <==> (inside(x, a) || inside(x, b));
  @   ensures joined->count == a.count + b.count;
  @ behavior refused:
  @   assumes end_of(a) != b.start;
  @   assigns \nothing;
  @   ensures \result == ERR_MISMATCH;
  @ complete behaviors;
  @ disjoint behaviors;
  @*/
CELL_API MUST_CHECK enum status range_join(struct range a, struct range b, struct range *joined);

/* What comes of putting a range into a set of ranges. */
struct range_merged {
    struct range range;
    bool joins_below; /* the lower neighbour is part of it, and so no range of its own any more */
    bool joins_above;
};

/*
 * Puts `given` between its neighbours in a set whose ranges are apart; a neighbour that is not
 * there is empty. ERR_EXISTS, and nothing is written, when one of the numbers is in a neighbour
 * already.
 */
/*@ requires valid_range(given);
  @ requires below.count == 0 || (valid_range(below) && below.start <= given.start);
  @ requires above.count == 0 || (valid_range(above) && given.start <= above.start);
  @ requires below.count == 0 || above.count == 0 || apart(below, above);
  @ requires \valid(merged);
  @ assigns *merged;
  @ behavior merges:
  @   assumes disjoint(below, given) && disjoint(given, above);
  @   ensures \result == OK;
  @   ensures valid_range(merged->range);
  @   ensures \forall integer x; inside(x, merged->range) <==>
  @           (inside(x, given) || (merged->joins_below && inside(x, below)) ||
  @            (merged->joins_above && inside(x, above)));
  @   ensures merged->joins_below ==> below.count > 0;
  @   ensures merged->joins_above ==> above.count > 0;
  @   ensures below.count == 0 || merged->joins_below || apart(below, merged->range);
  @   ensures above.count == 0 || merged->joins_above || apart(merged->range, above);
  @ behavior refused:
  @   assumes !(disjoint(below, given) && disjoint(given, above));
  @   assigns \nothing;
  @   ensures \result == ERR_EXISTS;
  @ complete behaviors;
  @ disjoint behaviors;
  @*/
CELL_API MUST_CHECK enum status range_merge(struct range below, struct range given,
                                            struct range above, struct range_merged *merged);

/*@ // `start` is a place for `count` numbers in `whole`, and a multiple of `alignment`.
  @ predicate fits(integer start, integer count, integer alignment, struct range whole) =
  @   whole.start <= start && start + count <= end_of(whole) && start % alignment == 0;
  @*/

/*
 * Finds the lowest `count` numbers of `whole` whose first is a multiple of `alignment`. False, and
 * nothing is written, when there are none; there always are in `count + alignment - 1` numbers.
 */
/*@ requires valid_range(whole);
  @ requires count > 0 && alignment > 0;
  @ requires \valid(fit);
  @ assigns *fit;
  @ behavior found:
  @   assumes \exists integer x; fits(x, count, alignment, whole);
  @   ensures \result == \true;
  @   ensures valid_range(*fit) && fit->count == count;
  @   ensures fits(fit->start, count, alignment, whole);
  @   ensures \forall integer x; fits(x, count, alignment, whole) ==> fit->start <= x;
  @ behavior none:
  @   assumes \forall integer x; !fits(x, count, alignment, whole);
  @   assigns \nothing;
  @   ensures \result == \false;
  @ behavior ample:
  @   assumes count + alignment - 1 <= whole.count;
  @   ensures \result == \true;
  @ complete behaviors found, none;
  @ disjoint behaviors found, none;
  @*/
CELL_API bool range_fit(struct range whole, uint64_t count, uint64_t alignment, struct range *fit);

/* The highest `count` numbers of `whole`, which has as many. */
/*@ requires valid_range(whole) && 0 < count <= whole.count;
  @ assigns \nothing;
  @ ensures valid_range(\result) && \result.count == count;
  @ ensures whole.start <= \result.start && end_of(\result) == end_of(whole);
  @*/
CELL_API struct range range_top(struct range whole, uint64_t count);
