/* SPDX-License-Identifier: MIT */
/*
 * The rest of a split is used without knowing whether there is one.
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
    enum status status = thing_split(REF(thing), SLOT(rest));
    thing_paint(REF(rest), 1); /* ! */
    return status;
}
