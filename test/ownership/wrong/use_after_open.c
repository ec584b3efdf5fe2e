/* SPDX-License-Identifier: MIT */
/*
 * A box is used after it was opened, which consumes it.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, content);
    OWNED(thing, again);
    OWNED(box, box);
    if (thing_create(argument, SLOT(content)) != OK) {
        return ERR_FAILED;
    }
    if (box_create(SLOT(content), SLOT(box)) != OK) {
        return ERR_FAILED;
    }
    box_open(SLOT(box), SLOT(content));
    box_open(SLOT(box), SLOT(again)); /* ! */
    return OK;
}
