/* SPDX-License-Identifier: MIT */
/* A loop borrows what is owned outside of it. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < argument; i++) {
        if (thing_check(REF(thing)) != OK) {
            return ERR_FAILED;
        }
        thing_paint(REF(thing), i);
    }
    return OK;
}
