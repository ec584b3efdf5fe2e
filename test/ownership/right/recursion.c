/* SPDX-License-Identifier: MIT */
/* Each level owns one. */
#include "thing.h"

static enum status descend(int depth)
{
    OWNED(thing, thing);
    if (thing_create(depth, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    enum status status = depth > 0 ? descend(depth - 1) : OK;
    thing_paint(REF(thing), depth);
    return status;
}

enum status run(int argument)
{
    return descend(argument);
}
