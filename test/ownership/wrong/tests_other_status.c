/* SPDX-License-Identifier: MIT */
/*
 * Two acquisitions, and the first one's status is tested twice.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, first);
    OWNED(thing, second);
    enum status one = thing_create(argument, SLOT(first)); /* ! */
    enum status two = thing_create(argument, SLOT(second));
    if (one != OK || one != OK) {
        return two;
    }
    thing_paint(REF(second), 1); /* ! */
    return OK;
}
