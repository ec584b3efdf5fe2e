/* SPDX-License-Identifier: MIT */
/*
 * A member of an owned structure is not named, and so not released.
 * Caught by: analyzer, run
 */
#include "thing.h"
#include "own_collections.h"

struct OWN_CAPABILITY("pair") pair {
    struct thing *one;
    struct thing *two;
};
OWN_STRUCTURE_DEFINE(pair, OWN_MEMBER(thing, one));

enum status run(int argument)
{
    OWNED_HERE(pair, pair);
    OWNED(thing, one);
    if (thing_create(argument, SLOT(one)) != OK) {
        return ERR_NO_MEMORY;
    }
    STORE(REF(pair)->one, one);
    OWNED(thing, two);
    if (thing_create(argument, SLOT(two)) != OK) {
        return ERR_NO_MEMORY;
    }
    STORE(REF(pair)->two, two);
    return OK;
}
