/* SPDX-License-Identifier: MIT */
/*
 * A borrowed pointer is kept, and used after the thing was consumed.
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
    if (thing_give(SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    thing_paint(kept, 1); /* ! */
    return OK;
}
