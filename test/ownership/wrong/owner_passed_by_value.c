/* SPDX-License-Identifier: MIT */
/*
 * A handle is passed where a slot is wanted: the callee empties something else.
 * Caught by: contracts, warnings, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    return thing_give(REF(thing)); /* ! */
}
