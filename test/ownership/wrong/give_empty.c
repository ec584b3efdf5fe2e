/* SPDX-License-Identifier: MIT */
/*
 * Nothing is given to a consumer.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    (void)argument;
    return thing_give(SLOT(thing)); /* ! */
}
