/* SPDX-License-Identifier: MIT */
/*
 * The rest is used after it was merged.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    OWNED(thing, rest);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    if (thing_split(REF(thing), SLOT(rest)) != OK) {
        return ERR_FAILED;
    }
    if (thing_merge(REF(thing), SLOT(rest)) != OK) {
        return ERR_FAILED;
    }
    thing_paint(REF(rest), 1); /* ! */
    return OK;
}
