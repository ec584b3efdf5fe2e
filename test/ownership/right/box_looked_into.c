/* SPDX-License-Identifier: MIT */
/* What a box owns is borrowed from it. */
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
    struct thing *inside = box_content(REF(box));
    thing_paint(STORED(inside), 1);
    return OK;
}
