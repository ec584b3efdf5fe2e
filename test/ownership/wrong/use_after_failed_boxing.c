/* SPDX-License-Identifier: MIT */
/*
 * Putting it into a box failed: the content is gone nevertheless.
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
        thing_paint(REF(content), 1); /* ! */
        return ERR_FAILED;
    }
    return OK;
}
