/* SPDX-License-Identifier: MIT */
/* Filled on one branch, and not used after it. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (argument > 1) {
        if (thing_create(argument, SLOT(thing)) != OK) {
            return ERR_NO_MEMORY;
        }
        thing_paint(REF(thing), 1);
    }
    return OK;
}
