/* SPDX-License-Identifier: MIT */
/* The second attempt fills the slot that the first one left empty. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        thing_create_spare(SLOT(thing));
    }
    thing_paint(REF(thing), 1);
    return OK;
}
