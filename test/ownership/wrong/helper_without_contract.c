/* SPDX-License-Identifier: MIT */
/*
 * A helper borrows without saying so; its caller gives it nothing.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

static void paint(struct thing *thing)
{
    thing_paint(thing, 1); /* ! */
}

enum status run(int argument)
{
    struct thing *thing = NULL;
    (void)argument;
    paint(thing);
    return OK;
}
