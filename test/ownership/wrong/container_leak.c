/* SPDX-License-Identifier: MIT */
/*
 * A structure ends with a handle in it.
 * Caught by: analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    struct {
        struct thing *content;
    } pocket = {NULL};
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    STORE(pocket.content, thing);
    thing_paint(STORED(pocket.content), 1);
    return OK;
}
