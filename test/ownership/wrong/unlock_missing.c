/* SPDX-License-Identifier: MIT */
/*
 * Locked by hand, and not unlocked.
 * Caught by: locks, run
 */
#include "thing.h"

static struct mutex lock;

enum status run(int argument)
{
    mutex_lock(&lock, NULL);
    return argument > 0 ? OK : ERR_FAILED;
} /* ! */
