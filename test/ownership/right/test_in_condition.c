/* SPDX-License-Identifier: MIT */
/* The acquisition is tested where it is called. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    thing_paint(REF(thing), 2);
    return OK;
}
