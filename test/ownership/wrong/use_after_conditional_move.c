/* SPDX-License-Identifier: MIT */
/*
 * Moved on one path, used on all.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    OWNED(thing, other);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    if (argument == 2) {
        MOVE(*SLOT(other), thing);
    }
    thing_paint(REF(thing), 1); /* ! */
    return OK;
}
