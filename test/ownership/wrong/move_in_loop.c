/* SPDX-License-Identifier: MIT */
/*
 * The second time round there is nothing to move.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    for (int i = 0; i <= argument; i++) { /* ! */
        OWNED(thing, each);
        MOVE(*SLOT(each), thing);
        thing_paint(REF(each), i);
    }
    return OK;
}
