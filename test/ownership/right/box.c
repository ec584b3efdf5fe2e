/* SPDX-License-Identifier: MIT */
/* A thing goes into a box, and the box is released with it. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, content);
    OWNED(box, box);
    if (thing_create(argument, SLOT(content)) != OK) {
        return ERR_NO_MEMORY;
    }
    return box_create(SLOT(content), SLOT(box));
}
