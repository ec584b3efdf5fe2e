/* SPDX-License-Identifier: MIT */
/* A slot outside of a loop is emptied by each turn before the next one fills it. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    for (int i = 0; i <= argument; i++) {
        if (thing_create(i, SLOT(thing)) != OK) {
            return ERR_NO_MEMORY;
        }
        thing_paint(REF(thing), i);
        thing_drop(SLOT(thing));
    }
    return OK;
}
