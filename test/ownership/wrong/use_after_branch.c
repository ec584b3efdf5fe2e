/* SPDX-License-Identifier: MIT */
/*
 * Acquired on one branch, used after both.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (argument > 1) {
        if (thing_create(argument, SLOT(thing)) != OK) {
            return ERR_FAILED;
        }
    }
    thing_paint(REF(thing), 1); /* ! */
    return OK;
}
