/* SPDX-License-Identifier: MIT */
/* An array that is owned as one: what is in it is released on every way out. */
#include "thing.h"
#include "own_collections.h"

OWN_ARRAY_DEFINE(things, thing, 3);

static enum status fill(struct thing **place, int number)
{
    OWNED(thing, thing);
    if (thing_create(number, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    STORE(*place, thing);
    return OK;
}

enum status run(int argument)
{
    OWNED_HERE(things, all);
    if (fill(&REF(all)->at[0], 0) != OK) {
        return ERR_NO_MEMORY;
    }
    if (argument == 1) {
        return OK;
    }
    if (fill(&REF(all)->at[2], 2) != OK) {
        return ERR_NO_MEMORY;
    }
    thing_paint(STORED(REF(all)->at[0]), argument);
    OWNED(thing, one);
    LOAD(one, REF(all)->at[2]);
    return thing_check(REF(one));
}
