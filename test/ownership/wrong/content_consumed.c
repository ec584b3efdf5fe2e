/* SPDX-License-Identifier: MIT */
/*
 * The content of a box is consumed behind the box's back.
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
    struct thing *inside = box_content(REF(box));
    return thing_give(&inside); /* ! */
}
