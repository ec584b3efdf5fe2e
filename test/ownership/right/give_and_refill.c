/* SPDX-License-Identifier: MIT */
/* A slot is filled again after it was consumed. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    if (thing_give(SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    thing_paint(REF(thing), 1);
    return OK;
}
