/* SPDX-License-Identifier: MIT */
/*
 * A flag says what is owned, and says it too early.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    bool has_thing = argument > 0;
    if (has_thing && thing_create(argument, SLOT(thing)) != OK) {
        has_thing = true;
    }
    if (has_thing) {
        thing_paint(REF(thing), 1); /* ! */
    }
    return OK;
}
