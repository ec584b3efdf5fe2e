/* SPDX-License-Identifier: MIT */
/*
 * A function that acquires says OK on a path where it did not.
 * Caught by: analyzer, run
 */
#include "thing.h"

static enum status make(int number, struct thing **out) OWN_ACQUIRES(**out);
static enum status make(int number, struct thing **out)
{
    return number == 2 ? OK : thing_create(number, out);
}

enum status run(int argument)
{
    OWNED(thing, thing);
    if (make(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    thing_paint(REF(thing), 1);
    return OK;
}
