/* SPDX-License-Identifier: MIT */
/*
 * What is owned in place is moved out of it, and used when the place is gone.
 * Caught by: nothing
 */
#include "thing.h"
#include "own_collections.h"

OWN_ARRAY_DEFINE(things, thing, 2);

static struct things *kept;

static NOINLINE enum status keep(int argument)
{
    OWNED_HERE(things, all);
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    STORE(REF(all)->at[0], thing);
    STORE(kept, all);
    return OK;
}

enum status run(int argument)
{
    enum status status = keep(argument);
    things_drop(&kept);
    return status;
}
