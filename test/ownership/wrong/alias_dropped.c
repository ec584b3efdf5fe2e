/* SPDX-License-Identifier: MIT */
/*
 * A second pointer to a thing is dropped; the owner releases it again.
 * Caught by: analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    struct thing *alias = REF(thing);
    thing_drop(&alias);
    return OK;
}
