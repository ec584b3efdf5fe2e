/* SPDX-License-Identifier: MIT */
/*
 * A helper consumes without saying so; its caller uses the handle afterwards.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

static enum status hand_over(struct thing **thing)
{
    return thing_give(thing); /* ! */
}

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    if (hand_over(SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    thing_paint(REF(thing), 1);
    return OK;
}
