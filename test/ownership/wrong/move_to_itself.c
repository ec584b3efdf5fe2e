/* SPDX-License-Identifier: MIT */
/*
 * A slot is moved onto itself.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    MOVE(*SLOT(thing), thing);
    thing_paint(REF(thing), 1); /* ! */
    return OK;
}
