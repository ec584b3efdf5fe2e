/* SPDX-License-Identifier: MIT */
/* A function makes a thing and its box, and gives the box to its caller. */
#include "thing.h"

static enum status make(int number, struct box **out) OWN_ACQUIRES(**out);
static enum status make(int number, struct box **out)
{
    OWNED(thing, content);
    enum status status = thing_create(number, SLOT(content));
    if (status != OK) {
        return status;
    }
    status = thing_check(REF(content));
    if (status != OK) {
        return status;
    }
    return box_create(SLOT(content), out);
}

enum status run(int argument)
{
    OWNED(box, box);
    return make(argument, SLOT(box));
}
