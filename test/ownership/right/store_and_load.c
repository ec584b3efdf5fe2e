/* SPDX-License-Identifier: MIT */
/* Stored in a field, and taken back into a slot. */
#include "thing.h"

static struct thing *kept;

enum status run(int argument)
{
    OWNED(thing, thing);
    OWNED(thing, back);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    STORE(kept, thing);
    LOAD(back, kept);
    return thing_give(SLOT(back));
}
