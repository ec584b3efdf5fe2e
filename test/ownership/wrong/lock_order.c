/* SPDX-License-Identifier: MIT */
/*
 * Two locks are taken against their order.
 * Caught by: locks
 */
#include "thing.h"

static struct mutex second;
static struct mutex first OWN_BEFORE(second);

enum status run(int argument)
{
    GUARD(mutex, outer, &second);
    if (argument > 0) {
        GUARD(mutex, inner, &first); /* ! */
        return OK;
    }
    return ERR_FAILED;
}
