/* SPDX-License-Identifier: MIT */
/* Given on one path, released here on the other. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    if (thing_number(REF(thing)) > 1) {
        return thing_give(SLOT(thing));
    }
    return OK;
}
