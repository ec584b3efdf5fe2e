/* SPDX-License-Identifier: MIT */
/*
 * What a field held was dropped, and is borrowed again.
 * Caught by: analyzer, run
 */
#include "thing.h"

static struct thing *kept;

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    STORE(kept, thing);
    thing_drop(&kept);
    thing_paint(STORED(kept), 1);
    return OK;
}
