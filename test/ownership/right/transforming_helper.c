/* SPDX-License-Identifier: MIT */
/* A helper consumes one handle and makes another. */
#include "thing.h"

static enum status wrap(struct thing **content, struct box **out) OWN_CONSUMES(**content)
    OWN_ACQUIRES(**out);
static enum status wrap(struct thing **content, struct box **out)
{
    OWNED(thing, thing);
    TAKE(thing, content);
    if (thing_check(REF(thing)) != OK) {
        return ERR_FAILED;
    }
    return box_create(SLOT(thing), out);
}

enum status run(int argument)
{
    OWNED(thing, thing);
    OWNED(box, box);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    return wrap(SLOT(thing), SLOT(box));
}
