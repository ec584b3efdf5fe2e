/* SPDX-License-Identifier: MIT */
/* Each branch fills the slot; it is used after both. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (argument > 1) {
        if (thing_create(argument, SLOT(thing)) != OK) {
            return ERR_NO_MEMORY;
        }
    } else {
        thing_create_spare(SLOT(thing));
    }
    thing_paint(REF(thing), 1);
    return OK;
}
