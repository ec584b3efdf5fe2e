/* SPDX-License-Identifier: MIT */
/*
 * A second acquisition overwrites the handle of the first one.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    if (thing_create(argument + 1, SLOT(thing)) != OK) { /* ! */
        return ERR_FAILED;
    }
    return OK;
}
