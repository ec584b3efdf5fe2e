/* SPDX-License-Identifier: MIT */
/*
 * A lock that was had is not let go: what holds it is a plain pointer.
 * Caught by: run
 */
#include "thing.h"

static struct mutex lock;

enum status run(int argument)
{
    struct mutex *guard = NULL;
    if (!mutex_try_lock(&lock, &guard)) {
        return ERR_AGAIN;
    }
    if (argument == 2) {
        return ERR_LIMIT;
    }
    mutex_drop(&guard);
    return OK;
}
