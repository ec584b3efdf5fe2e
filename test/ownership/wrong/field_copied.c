/* SPDX-License-Identifier: MIT */
/*
 * A structure with a handle in it is copied, and both copies are released.
 * Caught by: analyzer, run
 */
#include "thing.h"

struct pocket {
    struct thing *content;
};

enum status run(int argument)
{
    struct pocket one = {NULL};
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    STORE(one.content, thing);
    struct pocket two = one;
    thing_drop(&one.content);
    thing_drop(&two.content);
    return OK;
}
