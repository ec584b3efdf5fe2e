/* SPDX-License-Identifier: MIT */
/*
 * A function promises to consume, and only clears the slot: a leak.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

static void hand_over(struct thing **thing) OWN_CONSUMES(**thing);
static void hand_over(struct thing **thing)
{
    *thing = NULL;
} /* ! */

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    hand_over(SLOT(thing));
    return OK;
}
