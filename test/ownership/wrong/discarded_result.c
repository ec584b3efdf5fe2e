/* SPDX-License-Identifier: MIT */
/*
 * The result of the acquisition is thrown away, so that its failure is never noticed.
 * Caught by: contracts, warnings
 */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    thing_create(argument, SLOT(thing)); /* ! */
    return OK;
}
