/* SPDX-License-Identifier: MIT */
/* A consumer that fails leaves its argument in the caller's slot, which releases it. */
#include "thing.h"

static enum status hand_over(struct thing **thing) OWN_CONSUMES(**thing);
static enum status hand_over(struct thing **thing)
{
    if (thing_check(*thing) != OK) {
        LEAVE(thing);
        return ERR_FAILED;
    }
    return thing_give(thing);
}

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    return hand_over(SLOT(thing));
}
