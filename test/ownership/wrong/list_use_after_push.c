/* SPDX-License-Identifier: MIT */
/*
 * A thing is used through its slot after a list has it.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"
#include "own_collections.h"

OWN_LIST_DEFINE(thing_list, thing, next);

enum status run(int argument)
{
    OWNED_HERE(thing_list, list);
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    thing_list_push(REF(list), SLOT(thing));
    thing_paint(REF(thing), 1); /* ! */
    return OK;
}
