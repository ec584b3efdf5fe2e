/* SPDX-License-Identifier: MIT */
/* A function that cannot fail, by others. */
#include "thing.h"

static void make(int number, struct thing **out) OWN_ALWAYS_ACQUIRES(**out);
static void make(int number, struct thing **out)
{
    OWNED(thing, thing);
    if (thing_create(number, SLOT(thing)) != OK) {
        thing_create_spare(SLOT(thing));
    }
    thing_paint(REF(thing), number);
    MOVE(*out, thing);
}

enum status run(int argument)
{
    OWNED(thing, thing);
    make(argument, SLOT(thing));
    return thing_check(REF(thing));
}
