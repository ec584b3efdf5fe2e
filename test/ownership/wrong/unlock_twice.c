/* SPDX-License-Identifier: MIT */
/*
 * Unlocked by hand under a guard, which unlocks again.
 * Caught by: locks, run
 */
#include "thing.h"

static struct mutex lock;

enum status run(int argument)
{
    GUARD(mutex, guard, &lock); /* ! */
    mutex_unlock(&lock);
    return argument > 0 ? OK : ERR_FAILED;
}
