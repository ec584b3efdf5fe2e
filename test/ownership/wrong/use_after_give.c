/* SPDX-License-Identifier: MIT */
/*
 * A consumed handle is used.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    if (thing_give(SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    thing_paint(REF(thing), 1); /* ! */
    return OK;
}
