/* SPDX-License-Identifier: MIT */
/*
 * Given away by a move, then once more to a consumer.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    OWNED(thing, other);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    MOVE(*SLOT(other), thing);
    return thing_give(SLOT(thing)); /* ! */
}
