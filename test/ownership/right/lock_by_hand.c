/* SPDX-License-Identifier: MIT */
/* Locked and unlocked by hand, on every path. */
#include "thing.h"

static struct mutex lock;

enum status run(int argument)
{
    mutex_lock(&lock, NULL);
    if (argument == 2) {
        mutex_unlock(&lock);
        return ERR_FAILED;
    }
    mutex_unlock(&lock);
    return OK;
}
