/* SPDX-License-Identifier: MIT */
/* The caller's storage owns two things; either may be missing. */
#include "thing.h"

struct pair {
    struct thing *one;
    struct thing *two;
};

static void pair_fini(struct pair *pair)
{
    thing_drop(&pair->two);
    thing_drop(&pair->one);
}

static enum status pair_init(struct pair *pair)
{
    OWNED(thing, one);
    OWNED(thing, two);
    *pair = (struct pair){NULL, NULL};
    if (thing_create(1, SLOT(one)) != OK) {
        return ERR_NO_MEMORY;
    }
    if (thing_create(2, SLOT(two)) != OK) {
        return ERR_NO_MEMORY;
    }
    STORE(pair->one, one);
    STORE(pair->two, two);
    return OK;
}

enum status run(int argument)
{
    struct pair pair;
    enum status status = pair_init(&pair);
    if (status == OK) {
        thing_paint(STORED(pair.one), argument);
    }
    pair_fini(&pair);
    return status;
}
