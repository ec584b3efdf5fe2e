/* SPDX-License-Identifier: MIT */
/* A consumer takes what a field holds. */
#include "thing.h"

struct pocket {
    struct thing *content;
};

enum status run(int argument)
{
    struct pocket pocket = {NULL};
    OWNED(thing, thing);
    OWNED(box, box);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    STORE(pocket.content, thing);
    return box_create(STORED_SLOT(pocket.content), SLOT(box));
}
