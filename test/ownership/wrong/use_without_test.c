/* SPDX-License-Identifier: MIT */
/*
 * The status of the acquisition is kept, but nobody looks at it before the use.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    enum status status = thing_create(argument, SLOT(thing));
    thing_paint(REF(thing), 2); /* ! */
    return status;
}
