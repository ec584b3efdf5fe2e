/* SPDX-License-Identifier: MIT */
/*
 * A field that is full is overwritten.
 * Caught by: analyzer, run
 */
#include "thing.h"

static struct thing *table[2];

enum status run(int argument)
{
    OWNED(thing, first);
    OWNED(thing, second);
    if (thing_create(argument, SLOT(first)) != OK) {
        return ERR_FAILED;
    }
    STORE(table[0], first);
    if (thing_create(argument, SLOT(second)) == OK) {
        STORE(table[0], second);
    }
    thing_drop(&table[0]);
    return OK;
}
