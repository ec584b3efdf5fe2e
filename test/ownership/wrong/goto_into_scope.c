/* SPDX-License-Identifier: MIT */
/*
 * A jump enters the scope of a slot and passes its beginning.
 * Caught by: contracts, locks, run
 */
#include "thing.h"

enum status run(int argument)
{
    if (argument == 1) {
        goto inside; /* ! */
    }
    {
        OWNED(thing, thing);
        if (thing_create(argument, SLOT(thing)) != OK) {
            return ERR_FAILED;
        }
    inside:
        if (argument == 3) {
            return OK;
        }
    }
    return OK;
}
