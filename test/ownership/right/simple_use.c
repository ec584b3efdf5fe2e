/* SPDX-License-Identifier: MIT */
/* Acquired, borrowed, released at the end of the scope. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    enum status status = thing_create(argument, SLOT(thing));
    if (status != OK) {
        return status;
    }
    thing_paint(REF(thing), 2);
    return OK;
}
