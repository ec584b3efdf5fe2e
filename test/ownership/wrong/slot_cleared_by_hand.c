/* SPDX-License-Identifier: MIT */
/*
 * A slot is cleared through its borrowed pointer: a leak.
 * Caught by: contracts, locks, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    REF(thing) = NULL; /* ! */
    return OK;
}
