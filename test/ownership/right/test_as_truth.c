/* SPDX-License-Identifier: MIT */
/* A status that is not zero is an error. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing))) {
        return ERR_NO_MEMORY;
    }
    thing_paint(REF(thing), 2);
    return OK;
}
