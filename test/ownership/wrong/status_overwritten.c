/* SPDX-License-Identifier: MIT */
/*
 * The second status replaces the first one before it was tested.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, first);
    OWNED(thing, second);
    enum status status = thing_create(argument, SLOT(first));
    status = thing_create(argument, SLOT(second));
    if (status != OK) {
        return status;
    }
    thing_paint(REF(first), 1); /* ! */
    return OK;
}
