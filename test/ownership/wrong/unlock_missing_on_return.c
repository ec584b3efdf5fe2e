/* SPDX-License-Identifier: MIT */
/*
 * Locked by hand, and not unlocked on the way out in the middle.
 * Caught by: locks, run
 */
#include "thing.h"

static struct mutex lock;

enum status run(int argument)
{
    mutex_lock(&lock, NULL);
    if (argument == 2) {
        return ERR_FAILED;
    }
    mutex_unlock(&lock);
    return OK;
} /* ! */
