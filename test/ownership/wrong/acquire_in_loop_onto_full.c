/* SPDX-License-Identifier: MIT */
/*
 * A slot outside of the loop is filled by each turn.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    for (int i = 0; i <= argument; i++) { /* ! */
        if (thing_create(i, SLOT(thing)) != OK) {
            return ERR_FAILED;
        }
        thing_paint(REF(thing), i);
    }
    return OK;
}
