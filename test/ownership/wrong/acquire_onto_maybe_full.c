/* SPDX-License-Identifier: MIT */
/*
 * The slot is full on one of two paths, and filled after both.
 * Caught by: analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (argument == 1) {
        thing_create_spare(SLOT(thing));
    }
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    return OK;
}
