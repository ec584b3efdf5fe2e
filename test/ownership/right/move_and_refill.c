/* SPDX-License-Identifier: MIT */
/* A slot is used again after it was emptied by a move. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, one);
    OWNED(thing, two);
    if (thing_create(argument, SLOT(one)) != OK) {
        return ERR_NO_MEMORY;
    }
    MOVE(*SLOT(two), one);
    if (thing_create(argument, SLOT(one)) != OK) {
        return ERR_NO_MEMORY;
    }
    thing_paint(REF(one), thing_number(REF(two)));
    return OK;
}
