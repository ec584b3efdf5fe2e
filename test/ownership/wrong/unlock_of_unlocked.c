/* SPDX-License-Identifier: MIT */
/*
 * What nobody has locked is unlocked.
 * Caught by: locks, run
 */
#include "thing.h"

static struct mutex lock;

enum status run(int argument)
{
    if (argument == 3) {
        mutex_unlock(&lock); /* ! */
    }
    return OK;
}
