/* SPDX-License-Identifier: MIT */
/* Both parts are released by themselves. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    OWNED(thing, rest);
    enum status status = thing_split(REF(thing), SLOT(rest));
    if (status != OK) {
        return status;
    }
    thing_paint(REF(rest), thing_number(REF(thing)));
    return OK;
}
