/* SPDX-License-Identifier: MIT */
/*
 * No sum here can wrap: the end of a valid range is a number, and a sum that is not the end of one
 * is compared as a difference.
 */
#include "range.h"

CELL(library, "1.1.0");

bool range_is_valid(struct range r)
{
    return r.count > 0 && r.count <= UINT64_MAX - r.start;
}

bool range_overlaps(struct range a, struct range b)
{
    bool result = a.start < b.start + b.count && b.start < a.start + a.count;
    //@ assert result ==> inside(\max(a.start, b.start), a) && inside(\max(a.start, b.start), b);
    return result;
}

bool range_contains(struct range outer, struct range inner)
{
    //@ assert inside(inner.start, inner) && inside(end_of(inner) - 1, inner);
    return outer.start <= inner.start && inner.start + inner.count <= outer.start + outer.count;
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

void range_cut(struct range whole, struct range wanted, struct range *below, struct range *above)
{
    below->start = whole.start;
    below->count = wanted.start - whole.start;
    above->start = wanted.start + wanted.count;
    above->count = whole.count - below->count - wanted.count;
}

bool range_touches(struct range a, struct range b)
{
    return a.start + a.count == b.start;
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

enum status range_merge(struct range below, struct range given, struct range above,
                        struct range_merged *merged)
{
    bool has_below = below.count > 0;
    bool has_above = above.count > 0;
    if ((has_below && range_overlaps(below, given)) ||
        (has_above && range_overlaps(given, above))) {
        return ERR_EXISTS;
    }
    bool joins_below = has_below && range_touches(below, given);
    bool joins_above = has_above && range_touches(given, above);
    uint64_t start = joins_below ? below.start : given.start;
    uint64_t end = joins_above ? above.start + above.count : given.start + given.count;
    merged->range.start = start;
    merged->range.count = end - start;
    merged->joins_below = joins_below;
    merged->joins_above = joins_above;
    return OK;
}

/*@ // Which multiple comes next, by quotients: what division is, for the provers.
  @ lemma multiple_is_quotient:
  @   \forall integer x, a; 0 < a && 0 <= x && x % a == 0 ==> x == a * (x / a);
  @ lemma quotient_and_rest:
  @   \forall integer x, a; 0 < a && 0 <= x ==> x == a * (x / a) + x % a && 0 <= x % a < a;
  @ lemma multiples_keep_order: \forall integer p, q, a; 0 < a && a * p < a * q ==> p < q;
  @ lemma multiples_are_apart: \forall integer p, q, a; 0 < a && p < q ==> a * p + a <= a * q;
  @ lemma rest_to_quotients:
  @   \forall integer s, x, a; 0 < a && 0 <= s <= x && x % a == 0 && s % a > 0 ==> s / a < x / a;
  @ lemma next_quotient:
  @   \forall integer s, x, a; 0 < a && 0 <= s <= x && x % a == 0 && s % a > 0 ==>
  @     a * (s / a) + a <= a * (x / a);
  @ lemma next_multiple_is_lowest:
  @   \forall integer s, x, a; 0 < a && 0 <= s <= x && x % a == 0 && s % a > 0 ==>
  @     s - s % a + a <= x;
  @ lemma next_multiple_is_one:
  @   \forall integer s, a; 0 < a && 0 <= s ==> (s - s % a + a) % a == 0;
  @*/

bool range_fit(struct range whole, uint64_t count, uint64_t alignment, struct range *fit)
{
    uint64_t beyond = whole.start % alignment;
    uint64_t skipped = beyond ? alignment - beyond : 0;
    //@ assert (whole.start + skipped) % alignment == 0;
    /*@ assert \forall integer x; fits(x, count, alignment, whole) ==>
      @        whole.start + skipped <= x;
      @*/
    if (skipped >= whole.count || whole.count - skipped < count) {
        return false;
    }
    //@ assert fits(whole.start + skipped, count, alignment, whole);
    fit->start = whole.start + skipped;
    fit->count = count;
    return true;
}

struct range range_top(struct range whole, uint64_t count)
{
    struct range top = {.start = whole.start + (whole.count - count), .count = count};
    return top;
}
