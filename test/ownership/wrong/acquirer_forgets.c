/* SPDX-License-Identifier: MIT */
/*
 * A function that always acquires does not fill the slot on one path.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

static void make(int number, struct thing **out) OWN_ALWAYS_ACQUIRES(**out);
static void make(int number, struct thing **out)
{
    if (number < 3) {
        thing_create_spare(out);
    }
} /* ! */

enum status run(int argument)
{
    OWNED(thing, thing);
    make(argument, SLOT(thing));
    thing_paint(REF(thing), 1);
    return OK;
}
