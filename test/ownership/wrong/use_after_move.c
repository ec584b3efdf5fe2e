/* SPDX-License-Identifier: MIT */
/*
 * A moved handle is used through its old variable.
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
    MOVE(*SLOT(other), thing);
    thing_paint(REF(thing), 1); /* ! */
    return OK;
}
