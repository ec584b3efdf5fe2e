/* SPDX-License-Identifier: MIT */
/*
 * A handle is used through its slot after it was stored.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

static struct thing *table[2];

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    STORE(table[0], thing);
    thing_paint(REF(thing), 1); /* ! */
    thing_drop(&table[0]);
    return OK;
}
