/* SPDX-License-Identifier: MIT */
/* Released by hand before the scope ends. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    thing_paint(REF(thing), 1);
    thing_drop(SLOT(thing));
    return argument > 0 ? OK : ERR_FAILED;
}
