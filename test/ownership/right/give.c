/* SPDX-License-Identifier: MIT */
/* Given to a consumer. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    thing_paint(REF(thing), 1);
    return thing_give(SLOT(thing));
}
