/* SPDX-License-Identifier: MIT */
/* The test is marked as unlikely. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (UNLIKELY(thing_create(argument, SLOT(thing)) != OK)) {
        return ERR_NO_MEMORY;
    }
    thing_paint(REF(thing), 2);
    return OK;
}
