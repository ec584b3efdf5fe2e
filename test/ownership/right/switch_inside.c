/* SPDX-License-Identifier: MIT */
/* The branches of a switch borrow, and some return. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    switch (argument) {
    case 0:
        thing_paint(REF(thing), 1);
        break;
    case 1:
        return ERR_FAILED;
    default:
        thing_paint(REF(thing), 2);
    }
    thing_paint(REF(thing), 3);
    return OK;
}
