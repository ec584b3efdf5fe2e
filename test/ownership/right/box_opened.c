/* SPDX-License-Identifier: MIT */
/* A thing goes into a box and comes out again. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, content);
    OWNED(box, box);
    if (thing_create(argument, SLOT(content)) != OK) {
        return ERR_NO_MEMORY;
    }
    if (box_create(SLOT(content), SLOT(box)) != OK) {
        return ERR_NO_MEMORY;
    }
    box_open(SLOT(box), SLOT(content));
    thing_paint(REF(content), 1);
    return OK;
}
