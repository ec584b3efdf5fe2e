/* SPDX-License-Identifier: MIT */
/*
 * A field is emptied into a slot that is full.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

static struct thing *kept;

enum status run(int argument)
{
    OWNED(thing, one);
    OWNED(thing, two);
    thing_create_spare(SLOT(one));
    thing_create_spare(SLOT(two));
    thing_paint(REF(one), argument);
    STORE(kept, one);
    LOAD(two, kept); /* ! */
    return OK;
}
