/* SPDX-License-Identifier: MIT */
/*
 * One thing is pushed to two lists.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"
#include "own_collections.h"

OWN_LIST_DEFINE(thing_list, thing, next);

enum status run(int argument)
{
    OWNED_HERE(thing_list, one);
    OWNED_HERE(thing_list, two);
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    thing_list_push(REF(one), SLOT(thing));
    thing_list_push(REF(two), SLOT(thing)); /* ! */
    return OK;
}
