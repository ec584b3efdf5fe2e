/* SPDX-License-Identifier: MIT */
/*
 * A handle is consumed by every turn of a loop.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    for (int i = 0; i < 2; i++) { /* ! */
        if (thing_give(SLOT(thing)) != OK) {
            return ERR_FAILED;
        }
    }
    return OK;
}
