/* SPDX-License-Identifier: MIT */
/*
 * A handle in a plain pointer is overwritten by the next acquisition.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    struct thing *thing = NULL;
    if (thing_create(argument, &thing) != OK) {
        return ERR_FAILED;
    }
    thing = NULL;
    if (thing_create(argument, &thing) != OK) { /* ! */
        return ERR_FAILED;
    }
    thing_drop(&thing);
    return OK;
} /* ! */
