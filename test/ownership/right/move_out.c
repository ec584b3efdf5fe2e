/* SPDX-License-Identifier: MIT */
/* Made here, given to the caller. */
#include "thing.h"

static enum status make(int number, struct thing **out) OWN_ACQUIRES(**out);
static enum status make(int number, struct thing **out)
{
    OWNED(thing, thing);
    enum status status = thing_create(number, SLOT(thing));
    if (status != OK) {
        return status;
    }
    if (thing_check(REF(thing)) != OK) {
        return ERR_FAILED;
    }
    MOVE(*out, thing);
    return OK;
}

enum status run(int argument)
{
    OWNED(thing, thing);
    enum status status = make(argument, SLOT(thing));
    if (status != OK) {
        return status;
    }
    thing_paint(REF(thing), 1);
    return OK;
}
