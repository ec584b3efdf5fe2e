/* SPDX-License-Identifier: MIT */
/*
 * A thing in a cache has one owner after every instruction: the place, the caller, or nobody
 * because it was released; and what a user was struck in is not counted as used for ever.
 */
#include "own.h"
#include "reclaimable.h"
#include "strike.h"

struct OWN_CAPABILITY("thing") thing;
OWN_DECLARE(thing);

struct thing {
    int number;
};

static struct thing only;
static int owners; /* of the thing: 1 once it is made, 0 when it is released */
static struct reclaimable place;
static struct reclaimable_reference reference;
static struct thing *kept; /* what the owner has taken */

/* One store releases, as a drop must: struck before or after. */
void thing_drop(struct thing **handle)
{
    if (*handle) {
        owners = 0;
        EMPTY(handle);
    }
}

static void prepare(void)
{
    void *thing = &only;
    owners = 1;
    strike_demand(reclaimable_fill(&place, (own_drop_t)thing_drop, &thing, &reference) == OK);
}

static void use(void)
{
    OWNED(reclaimable_use, use);
    if (reclaimable_use_begin(reference, SLOT(use)) == OK) {
        ((struct thing *)reclaimable_use_thing(REF(use)))->number++;
    }
}

static void use_and_revoke(void)
{
    OWNED(reclaimable_use, first);
    OWNED(reclaimable_use, second);
    if (reclaimable_use_begin(reference, SLOT(first)) != OK ||
        reclaimable_use_begin(reference, SLOT(second)) != OK) {
        return;
    }
    (void)reclaimable_revoke(&place);
    reclaimable_use_drop(SLOT(first));
}

static void take(void)
{
    OWNED(thing, thing);
    if (reclaimable_take(&place, (void **)SLOT(thing)) == OK) {
        STORE(kept, thing);
    }
}

static void fill_again(void)
{
    OWNED(thing, thing);
    if (reclaimable_take(&place, (void **)SLOT(thing)) == OK) {
        (void)!RECLAIMABLE_FILL(thing, &place, thing, &reference);
    }
}

/* Nobody uses it any more: either it is there and can be used and revoked, or the place can be
 * filled. */
static void check(void)
{
    bool is_there = reclaimable_is_there(&place);
    strike_demand((place.state & 0xfffffffeu) == 0);
    strike_demand(is_there == (place.thing != NULL));
    strike_demand(owners == is_there + (kept != NULL));
    if (is_there) {
        strike_demand(reclaimable_revoke(&place));
        strike_demand(owners == 0 && !place.thing);
    }
    void *thing = &only;
    owners = 1;
    strike_demand(reclaimable_fill(&place, (own_drop_t)thing_drop, &thing, &reference) == OK);
    strike_demand(!thing && reclaimable_is_there(&place));
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"use", prepare, use, check},
        {"use and revoke", prepare, use_and_revoke, check},
        {"take", prepare, take, check},
        {"take and fill again", prepare, fill_again, check},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
