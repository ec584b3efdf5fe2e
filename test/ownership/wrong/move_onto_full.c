/* SPDX-License-Identifier: MIT */
/*
 * A move overwrites a handle that its owner still had.
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
    if (thing_create(argument, SLOT(other)) != OK) {
        return ERR_FAILED;
    }
    MOVE(*SLOT(other), thing); /* ! */
    return OK;
}
