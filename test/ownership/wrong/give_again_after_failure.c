/* SPDX-License-Identifier: MIT */
/*
 * The consumer failed, so it is tried once more; but it consumes when it fails, too.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    if (thing_give(SLOT(thing)) != OK) {
        return thing_give(SLOT(thing)); /* ! */
    }
    return OK;
}
