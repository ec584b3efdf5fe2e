/* SPDX-License-Identifier: MIT */
/*
 * A handle is used after its owner has released it by hand.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    thing_drop(SLOT(thing));
    thing_paint(REF(thing), 1); /* ! */
    return OK;
}
