/* SPDX-License-Identifier: MIT */
/* Moved on one path, released here on the other. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    OWNED(thing, other);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    if (argument == 1) {
        MOVE(*SLOT(other), thing);
        thing_paint(REF(other), 1);
    }
    return OK;
}
