/* SPDX-License-Identifier: MIT */
/* Stored in a field, borrowed there, released there. */
#include "thing.h"

static struct thing *kept;

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    STORE(kept, thing);
    thing_paint(STORED(kept), 1);
    thing_drop(&kept);
    return OK;
}
