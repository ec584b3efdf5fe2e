/* SPDX-License-Identifier: MIT */
/*
 * What was never acquired is moved.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    OWNED(thing, other);
    MOVE(*SLOT(other), thing); /* ! */
    thing_paint(REF(other), argument);
    return OK;
}
