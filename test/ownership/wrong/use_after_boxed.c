/* SPDX-License-Identifier: MIT */
/*
 * The content of a box is used through the slot that it came from.
 * Caught by: contracts, analyzer, run
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
    thing_paint(REF(content), 1); /* ! */
    return OK;
}
