/* SPDX-License-Identifier: MIT */
/*
 * The first turn releases what the second one uses.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    for (int i = 0; i <= argument; i++) { /* ! */
        thing_paint(REF(thing), i);
        thing_drop(SLOT(thing));
    }
    return OK;
}
