/* SPDX-License-Identifier: MIT */
/*
 * An empty slot is borrowed.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    thing_paint(REF(thing), argument); /* ! */
    return thing_create(1, SLOT(thing));
}
