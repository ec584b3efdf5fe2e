/* SPDX-License-Identifier: MIT */
/*
 * A function that acquires uses what it has given to its caller already.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

static enum status make(int number, struct thing **out) OWN_ACQUIRES(**out);
static enum status make(int number, struct thing **out)
{
    OWNED(thing, thing);
    enum status status = thing_create(number, SLOT(thing));
    if (status != OK) {
        return status;
    }
    MOVE(*out, thing);
    thing_paint(REF(thing), 1); /* ! */
    return OK;
}

enum status run(int argument)
{
    OWNED(thing, thing);
    return make(argument, SLOT(thing));
}
