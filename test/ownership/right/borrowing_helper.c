/* SPDX-License-Identifier: MIT */
/* A helper says that it borrows. */
#include "thing.h"

static void paint(struct thing *thing, int number) OWN_BORROWS(*thing);
static void paint(struct thing *thing, int number)
{
    for (int i = 0; i < number; i++) {
        thing_paint(thing, i);
    }
}

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    paint(REF(thing), argument);
    return OK;
}
