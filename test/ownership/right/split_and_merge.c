/* SPDX-License-Identifier: MIT */
/* Two parts become one again. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    OWNED(thing, rest);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    if (thing_split(REF(thing), SLOT(rest)) != OK) {
        return ERR_NO_MEMORY;
    }
    thing_paint(REF(rest), 1);
    if (thing_merge(REF(thing), SLOT(rest)) != OK) {
        return ERR_FAILED;
    }
    thing_paint(REF(thing), 2);
    return OK;
}
