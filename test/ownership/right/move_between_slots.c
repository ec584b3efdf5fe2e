/* SPDX-License-Identifier: MIT */
/* From one slot to another, which goes on. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, one);
    OWNED(thing, two);
    if (thing_create(argument, SLOT(one)) != OK) {
        return ERR_NO_MEMORY;
    }
    MOVE(*SLOT(two), one);
    thing_paint(REF(two), 1);
    return OK;
}
