/* SPDX-License-Identifier: MIT */
/*
 * One handle is given to two owners.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    OWNED(thing, one);
    OWNED(thing, two);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    MOVE(*SLOT(one), thing);
    MOVE(*SLOT(two), thing); /* ! */
    thing_paint(REF(two), 1);
    return OK;
}
