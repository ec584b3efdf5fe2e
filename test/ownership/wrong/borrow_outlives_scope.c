/* SPDX-License-Identifier: MIT */
/*
 * A function returns a pointer to what its own scope releases.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

static struct thing *make(int number)
{
    OWNED(thing, thing);
    if (thing_create(number, SLOT(thing)) != OK) {
        return NULL;
    }
    return REF(thing);
}

enum status run(int argument)
{
    struct thing *thing = make(argument);
    if (!thing) {
        return ERR_FAILED;
    }
    thing_paint(thing, 1); /* ! */
    return OK;
}
