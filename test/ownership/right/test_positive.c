/* SPDX-License-Identifier: MIT */
/* The success is a branch, after which nothing is used. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) == OK) {
        thing_paint(REF(thing), 2);
    }
    return OK;
}
