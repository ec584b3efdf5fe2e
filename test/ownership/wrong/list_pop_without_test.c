/* SPDX-License-Identifier: MIT */
/*
 * A list may have been empty: nobody has looked.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"
#include "own_collections.h"

OWN_LIST_DEFINE(thing_list, thing, next);

enum status run(int argument)
{
    OWNED_HERE(thing_list, list);
    OWNED(thing, thing);
    enum status status = thing_list_pop(REF(list), SLOT(thing));
    thing_paint(REF(thing), argument); /* ! */
    return status;
}
