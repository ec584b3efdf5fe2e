/* SPDX-License-Identifier: MIT */
/*
 * range.h - arithmetic of ranges of numbers: overlap, split, join.
 *
 * Why: frames and pages are numbered, and all that owners do with them is to cut ranges apart and to
 * put them together again. That nothing is lost or doubled by it is proven here (Frama-C, WP:
 * docs/proofs.md), not argued in each allocator.
 *
 * Rules: pure. A range is `count` numbers from `start` on; it is *valid* when it is not empty and does
 * not reach beyond UINT64_MAX. Functions take valid ranges and give valid ones. Any context.
 */
#pragma once

#include "status.h"

struct range {
    uint64_t start;
    uint64_t count;
};

/*@ predicate valid_range(struct range r) = 0 < r.count && r.start + r.count <= 0xffffffffffffffff + 1;
  @ predicate inside(integer x, struct range r) = r.start <= x < r.start + r.count;
  @*/

/*@ assigns \nothing;
  @ ensures \result <==> valid_range(r);
  @*/
CELL_API bool range_is_valid(struct range r);

/* Is there a number in both? */
/*@ requires valid_range(a) && valid_range(b);
  @ assigns \nothing;
  @ ensures \result <==> \exists integer x; inside(x, a) && inside(x, b);
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
  @   ensures \forall integer x; !(inside(x, *first) && inside(x, *rest));
  @ behavior refused:
  @   assumes first_count == 0 || first_count >= whole.count;
  @   assigns \nothing;
  @   ensures \result == ERR_OUT_OF_BOUNDS;
  @ complete behaviors;
  @ disjoint behaviors;
  @*/
CELL_API MUST_CHECK enum status range_split(struct range whole, uint64_t first_count,
                                            struct range *first, struct range *rest);

/* Does `b` begin where `a` ends? */
/*@ requires valid_range(a) && valid_range(b);
  @ assigns \nothing;
  @ ensures \result <==> a.start + a.count == b.start;
  @*/
CELL_API bool range_touches(struct range a, struct range b);

/* Puts `b` behind `a`. ERR_MISMATCH, and nothing is written, unless range_touches(a, b). */
/*@ requires valid_range(a) && valid_range(b);
  @ requires \valid(joined);
  @ assigns *joined;
  @ behavior joins:
  @   assumes a.start + a.count == b.start;
  @   ensures \result == OK;
  @   ensures valid_range(*joined);
  @   ensures \forall integer x; inside(x, *joined) <==> (inside(x, a) || inside(x, b));
  @ behavior refused:
  @   assumes a.start + a.count != b.start;
  @   assigns \nothing;
  @   ensures \result == ERR_MISMATCH;
  @ complete behaviors;
  @ disjoint behaviors;
  @*/
CELL_API MUST_CHECK enum status range_join(struct range a, struct range b, struct range *joined);

/*
 * Finds the lowest `count` numbers of `whole` whose first is a multiple of `alignment`, a power of two.
 * False, and nothing is written, when there are none.
 */
/*@ requires valid_range(whole);
  @ requires count > 0 && alignment > 0;
  @ requires \valid(fit);
  @ assigns *fit;
  @ behavior found:
  @   assumes \exists integer x; whole.start <= x && x % alignment == 0 &&
  @           x + count <= whole.start + whole.count;
  @   ensures \result == \true;
  @   ensures valid_range(*fit) && fit->count == count && fit->start % alignment == 0;
  @   ensures \forall integer x; inside(x, *fit) ==> inside(x, whole);
  @ behavior none:
  @   assumes \forall integer x; !(whole.start <= x && x % alignment == 0 &&
  @           x + count <= whole.start + whole.count);
  @   assigns \nothing;
  @   ensures \result == \false;
  @*/
CELL_API bool range_fit(struct range whole, uint64_t count, uint64_t alignment, struct range *fit);
