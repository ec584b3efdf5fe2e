/* SPDX-License-Identifier: MIT */
/*
 * A handle in a plain pointer is released at the end, but not on the way out in the middle.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    struct thing *thing = NULL;
    if (thing_create(argument, &thing) != OK) {
        return ERR_FAILED;
    }
    if (thing_check(thing) != OK) {
        return ERR_FAILED;
    }
    thing_drop(&thing);
    return OK;
} /* ! */
