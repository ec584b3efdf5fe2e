/* SPDX-License-Identifier: MIT */
/*
 * A borrowed pointer is kept, and used after the owner released the thing.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    struct thing *kept = REF(thing);
    thing_drop(SLOT(thing));
    thing_paint(kept, 1); /* ! */
    return OK;
}
