/* SPDX-License-Identifier: MIT */
/*
 * The content of a box is used after the box was dropped.
 * Caught by: analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, content);
    OWNED(box, box);
    if (thing_create(argument, SLOT(content)) != OK) {
        return ERR_FAILED;
    }
    if (box_create(SLOT(content), SLOT(box)) != OK) {
        return ERR_FAILED;
    }
    struct thing *inside = box_content(REF(box));
    box_drop(SLOT(box));
    thing_paint(STORED(inside), 1);
    return OK;
}
