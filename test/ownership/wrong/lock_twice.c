/* SPDX-License-Identifier: MIT */
/*
 * A lock is taken by whoever holds it: it waits for itself.
 * Caught by: locks, run
 */
#include "thing.h"

static struct mutex lock;

enum status run(int argument)
{
    GUARD(mutex, outer, &lock); /* ! */
    if (argument > 0) {
        GUARD(mutex, inner, &lock); /* ! */
        return OK;
    }
    return ERR_FAILED;
}
