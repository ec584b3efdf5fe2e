/* SPDX-License-Identifier: MIT */
/* Tried again until it works, with a limit. */
#include "thing.h"

enum status run(int argument)
{
    for (int i = 0; i < 3; i++) {
        OWNED(thing, thing);
        if (thing_create(argument, SLOT(thing)) == OK) {
            thing_paint(REF(thing), i);
            return OK;
        }
    }
    return ERR_NO_MEMORY;
}
