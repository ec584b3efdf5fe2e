/* SPDX-License-Identifier: MIT */
/* Dropping an empty slot does nothing. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    thing_drop(SLOT(thing));
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    thing_drop(SLOT(thing));
    thing_drop(SLOT(thing));
    return OK;
}
