/* SPDX-License-Identifier: MIT */
/*
 * A place of an array is filled twice.
 * Caught by: analyzer, run
 */
#include "thing.h"
#include "own_collections.h"

OWN_ARRAY_DEFINE(things, thing, 2);

enum status run(int argument)
{
    OWNED_HERE(things, all);
    for (int i = 0; i < 3; i++) {
        OWNED(thing, thing);
        if (thing_create(argument, SLOT(thing)) != OK) {
            return ERR_NO_MEMORY;
        }
        STORE(REF(all)->at[0], thing);
    }
    return OK;
}
