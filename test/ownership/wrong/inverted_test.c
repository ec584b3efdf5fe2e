/* SPDX-License-Identifier: MIT */
/*
 * The test is the wrong way round.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) == OK) {
        return OK;
    }
    thing_paint(REF(thing), 1); /* ! */
    return OK;
}
