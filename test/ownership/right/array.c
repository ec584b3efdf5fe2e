/* SPDX-License-Identifier: MIT */
/* An array of owned things: filled, borrowed, released. */
#include "thing.h"

enum { COUNT = 3 };

static void drop_all(struct thing **things)
{
    for (int i = 0; i < COUNT; i++) {
        thing_drop(&things[i]);
    }
}

static enum status fill(struct thing **things)
{
    for (int i = 0; i < COUNT; i++) {
        OWNED(thing, thing);
        if (thing_create(i, SLOT(thing)) != OK) {
            return ERR_NO_MEMORY;
        }
        STORE(things[i], thing);
    }
    return OK;
}

enum status run(int argument)
{
    static struct thing *things[COUNT];
    enum status status = fill(things);
    for (int i = 0; status == OK && i < COUNT; i++) {
        thing_paint(STORED(things[i]), argument);
    }
    drop_all(things);
    return status;
}
