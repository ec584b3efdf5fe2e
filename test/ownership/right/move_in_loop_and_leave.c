/* SPDX-License-Identifier: MIT */
/* The turn that moves is the last one. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    OWNED(thing, other);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < 4; i++) {
        if (i == argument) {
            MOVE(*SLOT(other), thing);
            break;
        }
        thing_paint(REF(thing), i);
    }
    return OK;
}
