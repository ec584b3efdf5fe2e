/* SPDX-License-Identifier: MIT */
/* A consumer moves its argument into a slot of its own first. */
#include "thing.h"

static enum status hand_over(struct thing **argument) OWN_CONSUMES(**argument);
static enum status hand_over(struct thing **argument)
{
    OWNED(thing, thing);
    TAKE(thing, argument);
    if (thing_check(REF(thing)) != OK) {
        return ERR_FAILED;
    }
    thing_paint(REF(thing), 1);
    return OK;
}

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    return hand_over(SLOT(thing));
}
