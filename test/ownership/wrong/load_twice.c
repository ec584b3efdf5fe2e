/* SPDX-License-Identifier: MIT */
/*
 * A field is emptied into two slots: the second one gets nothing.
 * Caught by: analyzer, run
 */
#include "thing.h"

static struct thing *kept;

enum status run(int argument)
{
    OWNED(thing, one);
    OWNED(thing, two);
    if (thing_create(argument, SLOT(one)) != OK) {
        return ERR_FAILED;
    }
    STORE(kept, one);
    LOAD(one, kept);
    LOAD(two, kept);
    thing_paint(REF(two), 1);
    return OK;
}
