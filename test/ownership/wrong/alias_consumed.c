/* SPDX-License-Identifier: MIT */
/*
 * A second pointer to a thing is consumed; the owner releases it again.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    struct thing *alias = REF(thing);
    return thing_give(&alias); /* ! */
}
