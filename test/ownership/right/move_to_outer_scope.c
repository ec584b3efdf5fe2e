/* SPDX-License-Identifier: MIT */
/* Made in an inner block, kept by an outer one. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, kept);
    {
        OWNED(thing, thing);
        if (thing_create(argument, SLOT(thing)) != OK) {
            return ERR_NO_MEMORY;
        }
        MOVE(*SLOT(kept), thing);
    }
    thing_paint(REF(kept), 1);
    return OK;
}
