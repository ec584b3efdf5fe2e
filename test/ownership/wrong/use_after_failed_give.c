/* SPDX-License-Identifier: MIT */
/*
 * The consumer failed, and its caller believes that the handle is still there.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    enum status status = thing_give(SLOT(thing));
    if (status != OK) {
        thing_paint(REF(thing), 1); /* ! */
    }
    return status;
}
