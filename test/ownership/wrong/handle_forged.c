/* SPDX-License-Identifier: MIT */
/*
 * A handle of one type is passed off as one of another.
 * Caught by: contracts, warnings
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    OWNED(box, box);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    return box_create(SLOT(box), SLOT(thing)); /* ! */
}
