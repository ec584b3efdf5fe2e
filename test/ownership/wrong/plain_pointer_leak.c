/* SPDX-License-Identifier: MIT */
/*
 * A handle is acquired into a plain pointer and forgotten.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    struct thing *thing = NULL;
    if (thing_create(argument, &thing) != OK) {
        return ERR_FAILED;
    }
    thing_paint(thing, 1);
    return OK;
} /* ! */
