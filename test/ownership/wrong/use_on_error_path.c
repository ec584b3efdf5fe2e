/* SPDX-License-Identifier: MIT */
/*
 * What was not acquired is used where the acquisition failed.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    enum status status = thing_create(argument, SLOT(thing));
    if (status != OK) {
        thing_paint(REF(thing), 0); /* ! */
        return status;
    }
    return OK;
}
