/* SPDX-License-Identifier: MIT */
/*
 * A function promises to consume, and keeps the handle in its caller's slot on one path.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

static enum status hand_over(struct thing **thing) OWN_CONSUMES(**thing);
static enum status hand_over(struct thing **thing)
{
    if (thing_check(*thing) != OK) {
        return ERR_FAILED;
    }
    return thing_give(thing);
} /* ! */

enum status run(int argument)
{
    struct thing *thing = NULL;
    thing_create_spare(&thing);
    thing_paint(thing, argument);
    return hand_over(&thing);
}
