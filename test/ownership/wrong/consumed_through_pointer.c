/* SPDX-License-Identifier: MIT */
/*
 * A consumer is called through a pointer, whose type has no contracts.
 * Caught by: run
 */
#include "thing.h"

static enum status (*const consumers[])(struct thing **) = {thing_give};

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    if (consumers[0](SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    thing_paint(REF(thing), 1);
    return OK;
}
