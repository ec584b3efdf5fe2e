/* SPDX-License-Identifier: MIT */
/*
 * Whether the gift was accepted is never asked.
 * Caught by: contracts, warnings
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    thing_give(SLOT(thing)); /* ! */
    return OK;
}
