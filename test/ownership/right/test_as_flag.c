/* SPDX-License-Identifier: MIT */
/* The result of the test is kept in a variable. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    bool done = thing_create(argument, SLOT(thing)) == OK;
    if (!done) {
        return ERR_FAILED;
    }
    thing_paint(REF(thing), 2);
    return OK;
}
