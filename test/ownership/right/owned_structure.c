/* SPDX-License-Identifier: MIT */
/* A structure that is owned as one; either member may be missing. */
#include "thing.h"
#include "own_collections.h"

struct OWN_CAPABILITY("pair") pair {
    struct thing *one;
    struct box *other;
};
OWN_STRUCTURE_DEFINE(pair, OWN_MEMBER(box, other) OWN_MEMBER(thing, one));

static enum status fill(struct pair *pair)
{
    OWNED(thing, one);
    if (thing_create(1, SLOT(one)) != OK) {
        return ERR_NO_MEMORY;
    }
    STORE(pair->one, one);
    OWNED(thing, two);
    if (thing_create(2, SLOT(two)) != OK) {
        return ERR_NO_MEMORY;
    }
    OWNED(box, other);
    if (box_create(SLOT(two), SLOT(other)) != OK) {
        return ERR_NO_MEMORY;
    }
    STORE(pair->other, other);
    return OK;
}

enum status run(int argument)
{
    OWNED_HERE(pair, pair);
    enum status status = fill(REF(pair));
    if (status != OK) {
        return status;
    }
    thing_paint(STORED(REF(pair)->one), argument);
    return argument > 1 ? ERR_LIMIT : OK;
}
